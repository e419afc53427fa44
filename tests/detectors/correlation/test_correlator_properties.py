"""What holds for the correlator whatever the findings are."""

from collections import Counter

from correlation_findings import SECOND, finding, job, node
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.correlation import Correlator
from detectors.model import Finding, FindingKind, Incident, IncidentState


@st.composite
def _findings(draw: st.DrawFn) -> list[Finding]:
    made: dict[str, Finding] = {}
    for _ in range(draw(st.integers(1, 14))):
        kind = draw(st.sampled_from(FindingKind))
        subject = draw(st.sampled_from([0, 1, 2, job(), job("b"), node()]))
        since = draw(st.integers(0, 1500))
        lasts = draw(st.none() | st.integers(10, 600))
        new = finding(
            kind,
            subject,
            since,
            cleared=None if lasts is None else since + lasts,
            of=draw(st.sampled_from(["train", "b", None])),
        )
        made[new.id] = new
    return list(made.values())


def _newest(changes: list[list[Incident]]) -> dict[str, Incident]:
    return {incident.id: incident for changed in changes for incident in changed}


def _ticks(findings: list[Finding]) -> list[tuple[int, list[Finding]]]:
    """Findings by the 5 s tick in which they are told, as the watch tells them: first open, then cleared."""
    told: dict[int, list[Finding]] = {}
    for known in findings:
        told.setdefault(known.opened_ns // (5 * SECOND), []).append(known)
    return [(tick * 5 * SECOND, told[tick]) for tick in sorted(told)]


@settings(max_examples=60, deadline=None)
@given(_findings())
def test_every_finding_is_in_exactly_one_incident_but_lone_unusual_ones(findings) -> None:
    correlator = Correlator("c")
    newest = _newest([correlator.update(known, now) for now, known in _ticks(findings)])
    held = Counter(finding_id for incident in newest.values() for finding_id in incident.findings)

    must = {known.id for known in findings if known.kind is not FindingKind.UNUSUAL}
    assert {1} == set(held.values()) or not must
    assert must <= set(held)
    assert set(held) <= {known.id for known in findings}


@settings(max_examples=60, deadline=None)
@given(_findings(), st.randoms(use_true_random=False))
def test_the_order_of_arrival_within_a_tick_changes_nothing(findings, random) -> None:
    one, other = Correlator("c"), Correlator("c")
    for now, known in _ticks(findings):
        shuffled = random.sample(known, len(known))

        assert one.update(known, now) == other.update(shuffled, now)


@settings(max_examples=60, deadline=None)
@given(_findings(), st.randoms(use_true_random=False))
def test_all_at_once_and_in_any_order_gives_the_same_incidents(findings, random) -> None:
    shuffled = random.sample(findings, len(findings))

    assert Correlator("c").update(findings, 9_999 * SECOND) == Correlator("c").update(shuffled, 9_999 * SECOND)


@settings(max_examples=60, deadline=None)
@given(_findings())
def test_the_root_stands_first_and_every_fact_of_the_incident_is_its_own(findings) -> None:
    correlator = Correlator("c")
    by_id = {known.id: known for known in findings}
    for incident in _newest([correlator.update(known, now) for now, known in _ticks(findings)]).values():
        if incident.findings:
            root = by_id[incident.root]
            assert incident.root == incident.findings[0]
            assert (root.kind, root.since_ns) == (incident.kind, incident.since_ns)
            # a wave is about the place that its members share; every other incident is about its root's subject
            wave = len(incident.findings) >= 2 and incident.subject.kind is not root.subject.kind
            assert incident.subject == root.subject or wave
            assert tuple(by_id[i].kind for i in incident.findings) == incident.kinds
            assert FindingKind.UNUSUAL is not incident.kind


@settings(max_examples=60, deadline=None)
@given(_findings())
def test_no_incident_resolves_while_one_of_its_findings_holds(findings) -> None:
    correlator = Correlator("c")
    by_id = {known.id: known for known in findings}
    _ = [correlator.update(known, now) for now, known in _ticks(findings)]
    for incident in correlator.update([], 10**6 * SECOND):
        if incident.state is IncidentState.RESOLVED:
            held = [by_id[i] for i in incident.findings if by_id[i].kind is not FindingKind.UNUSUAL]
            assert all(known.cleared_ns is not None for known in held)


def _without_unusual(incidents: list[Incident]) -> list[tuple[str, ...]]:
    """What is merely unusual may find another place after a restart; nothing else may."""
    return [
        (incident.id, incident.root, *(i for i in incident.findings if not i.startswith("F-unusual")))
        for incident in incidents
    ]


@settings(max_examples=40, deadline=None)
@given(_findings())
def test_a_restart_between_any_two_ticks_changes_no_membership(findings) -> None:
    steady, told = Correlator("c"), []
    for now, known in _ticks(findings):
        steady.update(known, now)
        told += known
        again = Correlator("c")
        again.restore(steady.unresolved, told)
        again.update([], now)

        assert _without_unusual(steady.unresolved) == _without_unusual(again.unresolved)
