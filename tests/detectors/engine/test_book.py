"""The book of open findings."""

import pytest
from simulated_fleet import JOB, NODE, NS, T0, gpu

from collectors.model import Origin, Subject, SubjectFacts
from detectors.book import MOST_EVIDENCE, Book, finding_id
from detectors.contract import Clearing, Opening
from detectors.model import Evidence, Finding, FindingKind, Inventory, Severity

KIND = FindingKind.XID


def opening(
    subject: Subject = gpu(0),  # noqa: B008 - a frozen value
    *metrics: str,
    mark: str = "",
    severity: Severity = Severity.WARNING,
    since_ns: int = T0,
    related: tuple[Subject, ...] = (),
) -> Opening:
    seen = tuple(Evidence(f"about {metric}", T0, metric, source="nvml") for metric in metrics)
    return Opening(KIND, subject, since_ns, severity, 0.9, "a sentence", seen, related, mark)


def inventory() -> Inventory:
    known = Inventory()
    known.facts[NODE] = SubjectFacts(NODE, "node-a")
    known.facts[JOB] = SubjectFacts(JOB, "run-7")
    known.facts[gpu(0)] = SubjectFacts(gpu(0), "gpu0", NODE, {"index": "0", "rank": "3", "job": JOB.id})
    return known


def test_an_opening_becomes_a_finding_with_names_and_relations() -> None:
    (finding,) = Book(Origin.TEST).apply([opening()], inventory(), T0 + NS)
    assert finding.names == {"node": "node-a", "gpu": "0", "rank": "3", "job": "run-7"}
    assert {NODE, JOB} == set(finding.related)
    assert (finding.opened_ns, finding.since_ns) == (T0 + NS, T0)


def test_a_finding_never_began_after_it_opened() -> None:
    (finding,) = Book(Origin.TEST).apply([opening(since_ns=T0 + 99 * NS)], Inventory(), T0)
    assert finding.since_ns == T0


def test_saying_it_again_changes_nothing() -> None:
    book = Book(Origin.TEST)
    book.apply([opening(gpu(0), "a")], Inventory(), T0)
    assert book.apply([opening(gpu(0), "a")], Inventory(), T0 + NS) == []
    assert len(book) == 1


def test_saying_it_again_with_evidence_of_a_new_metric_adds_that_evidence_under_the_same_id() -> None:
    book = Book(Origin.TEST)
    (first,) = book.apply([opening(gpu(0), "a")], Inventory(), T0)
    (second,) = book.apply([opening(gpu(0), "a", "b")], Inventory(), T0 + NS)
    assert (first.id, first.opened_ns, ["a", "b"]) == (second.id, second.opened_ns, [e.metric for e in second.evidence])


def test_severity_rises_and_never_falls_while_it_is_open() -> None:
    book = Book(Origin.TEST)
    book.apply([opening()], Inventory(), T0)
    (worse,) = book.apply([opening(severity=Severity.CRITICAL)], Inventory(), T0)
    assert worse.severity is Severity.CRITICAL
    assert book.apply([opening(severity=Severity.INFO)], Inventory(), T0) == []


def test_evidence_is_bounded() -> None:
    book = Book(Origin.TEST)
    book.apply([opening(gpu(0), "a")], Inventory(), T0)
    for number in range(50):
        book.apply([opening(gpu(0), f"m{number}")], Inventory(), T0)
    assert len(book.open_findings()[0].evidence) == MOST_EVIDENCE


def test_clearing_says_when_and_why_and_closes_it() -> None:
    book = Book(Origin.TEST)
    book.apply([opening()], Inventory(), T0)
    (cleared,) = book.apply([Clearing(KIND, gpu(0), "it is over")], Inventory(), T0 + NS)
    assert (cleared.cleared_ns, cleared.cleared_because) == (T0 + NS, "it is over")
    assert (len(book), book.touches(gpu(0)), book.of_kind(KIND)) == (0, False, [])


def test_clearing_what_is_not_open_says_nothing() -> None:
    assert Book(Origin.TEST).apply([Clearing(KIND, gpu(0), "it is over")], Inventory(), T0) == []


def test_opened_and_cleared_in_one_go_is_told_once_as_cleared() -> None:
    (told,) = Book(Origin.TEST).apply([opening(), Clearing(KIND, gpu(0), "over")], Inventory(), T0)
    assert told.cleared_ns == T0


def test_marks_of_one_kind_stand_side_by_side() -> None:
    book = Book(Origin.TEST)
    book.apply([opening(mark="13"), opening(mark="31")], Inventory(), T0)
    book.apply([Clearing(KIND, gpu(0), "over", "13")], Inventory(), T0 + NS)
    assert [f.mark for f in book.open_findings()] == ["31"]
    assert book.is_open(KIND, gpu(0), "31")
    assert not book.is_open(KIND, gpu(0))


def test_of_kind_and_open_findings_agree() -> None:
    book = Book(Origin.TEST)
    book.apply([opening(mark="1"), opening(gpu(1)), opening(mark="2")], Inventory(), T0)
    assert {f.id for f in book.of_kind(KIND)} == {f.id for f in book.open_findings()}
    assert book.of_kind(FindingKind.GPU_LOST) == []


@pytest.mark.parametrize("other", ["kind", "subject", "mark", "time"])
def test_ids_are_the_same_for_the_same_and_differ_otherwise(other: str) -> None:
    base = {"kind": KIND, "subject": gpu(0), "mark": "", "opened_ns": T0}
    changed = {"kind": FindingKind.GPU_LOST, "subject": gpu(1), "mark": "1", "opened_ns": T0 + 1}
    name = "opened_ns" if other == "time" else other
    assert finding_id(**base) == finding_id(**base)
    assert finding_id(**base) != finding_id(**base | {name: changed[name]})


def test_what_is_restored_keeps_its_id_and_clears_under_it() -> None:
    before = Book(Origin.TEST)
    (finding,) = before.apply([opening(related=(JOB,))], Inventory(), T0)
    after = Book(Origin.TEST)
    after.restore([finding])
    assert after.touches(JOB)
    (cleared,) = after.apply([Clearing(KIND, gpu(0), "over")], Inventory(), T0 + NS)
    assert (finding.id, T0 + NS) == (cleared.id, cleared.cleared_ns)


def test_restoring_twice_counts_once() -> None:
    book = Book(Origin.TEST)
    (finding,) = Book(Origin.TEST).apply([opening()], Inventory(), T0)
    book.restore([finding, finding])
    book.apply([Clearing(KIND, gpu(0), "over")], Inventory(), T0)
    assert not book.touches(gpu(0))


def test_a_subject_that_is_gone_clears_with_all_its_marks() -> None:
    book = Book(Origin.TEST)
    book.apply([opening(mark="1"), opening(mark="2"), opening(gpu(1))], Inventory(), T0)
    told: list[Finding] = book.apply(book.clear_about(gpu(0), "gone"), Inventory(), T0)
    assert {"1", "2"} == {f.mark for f in told}
    assert [f.subject for f in book.open_findings()] == [gpu(1)]
