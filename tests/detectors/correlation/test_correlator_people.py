"""What people say holds: the correlator neither joins again what they split nor opens again what they ended."""

import pytest
from correlation_findings import SECOND, finding, job

from collectors.errors import GiveUp
from detectors.correlation import Correlator
from detectors.model import Finding, FindingKind, Incident, IncidentState, Word, WordKind

K = FindingKind
NOW = 130 * SECOND


def word(kind: WordKind, incident: str, **more) -> Word:
    return Word(kind, incident, "ann", NOW, **more)


def fed(*findings: Finding) -> Correlator:
    correlator = Correlator("c")
    for one in findings:
        correlator.update([one], one.opened_ns)
    return correlator


def of(correlator: Correlator, finding_id: str) -> Incident:
    """The unresolved incident that holds a finding."""
    (held,) = [incident for incident in correlator.unresolved if finding_id in incident.findings]
    return held


HOT, SLOW = finding(K.THERMAL_THROTTLE, 3, 100), finding(K.STRAGGLER, 3, 105)
LEAK = finding(K.GPU_MEMORY_LEAK, 5, 100)


def test_a_person_ends_an_incident_whose_findings_hold_and_it_stays_over_while_they_do() -> None:
    correlator = fed(HOT, SLOW)
    (over,) = correlator.say(word(WordKind.RESOLVE, of(correlator, HOT.id).id), 7, NOW)
    hotter = finding(K.THERMAL_THROTTLE, 3, 100, codes=(13,))
    again = correlator.update([hotter], NOW + 2 * 3600 * SECOND)
    later = correlator.update([hotter], NOW + 4 * 3600 * SECOND)

    assert (over.state, over.resolved_because, over.word) == (IncidentState.RESOLVED, "resolved by ann", 7)
    assert {IncidentState.RESOLVED} >= {one.state for one in (*again, *later)}
    assert correlator.unresolved == []


def test_what_a_person_ended_comes_back_when_it_opens_anew_within_ten_minutes() -> None:
    correlator = fed(HOT)
    (over,) = correlator.say(word(WordKind.RESOLVE, of(correlator, HOT.id).id), 1, NOW)
    correlator.update([finding(K.THERMAL_THROTTLE, 3, 100, cleared=200)], 200 * SECOND)
    correlator.update([finding(K.THERMAL_THROTTLE, 3, 300)], 310 * SECOND)
    (back,) = correlator.unresolved

    assert (over.id, 1, 1) == (back.id, back.reopened, back.word)


def test_a_snooze_lasts_until_its_time_and_then_it_is_open_and_told_again() -> None:
    correlator = fed(HOT)
    until = 500 * SECOND
    (quiet,) = correlator.say(word(WordKind.SNOOZE, of(correlator, HOT.id).id, until_ns=until), 1, NOW)
    assert (IncidentState.SNOOZED, until) == (quiet.state, quiet.snoozed_until_ns)

    assert correlator.update([], until - 1) == []
    (awake,) = correlator.update([], until)
    assert (awake.state, awake.snoozed_until_ns) == (IncidentState.OPEN, None)


def test_what_clears_while_snoozed_is_resolved() -> None:
    correlator = fed(HOT)
    correlator.say(word(WordKind.SNOOZE, of(correlator, HOT.id).id, until_ns=10**15), 1, NOW)
    correlator.update([finding(K.THERMAL_THROTTLE, 3, 100, cleared=200)], 200 * SECOND)
    (over,) = correlator.update([], 260 * SECOND)

    assert (over.state, over.snoozed_until_ns) == (IncidentState.RESOLVED, None)


def test_a_merge_gives_the_findings_to_the_other_and_their_news_follow() -> None:
    correlator = fed(HOT, LEAK)
    source, target = of(correlator, LEAK.id), of(correlator, HOT.id)
    gone, kept = correlator.say(word(WordKind.MERGE, source.id, other=target.id), 3, NOW)

    assert (gone.state, gone.findings) == (IncidentState.RESOLVED, ())
    assert (target.root, {HOT.id, LEAK.id}) == (kept.root, set(kept.findings))
    correlator.update([finding(K.THERMAL_THROTTLE, 3, 100, cleared=200)], 200 * SECOND)
    assert correlator.update([], 300 * SECOND) == []  # the leak holds
    correlator.update([finding(K.GPU_MEMORY_LEAK, 5, 100, cleared=310)], 310 * SECOND)
    (over,) = correlator.update([], 400 * SECOND)
    assert (kept.id, IncidentState.RESOLVED) == (over.id, over.state)


def test_what_was_split_off_stays_apart_from_what_would_cause_both() -> None:
    """A late root that explains both sides joins one of them only."""
    one, late = finding(K.STRAGGLER, 3, 105), finding(K.HOST_STALL, 3, 100)
    correlator = fed(one)
    correlator.update([finding(K.STRAGGLER, 3, 105), finding(K.THROUGHPUT_DROP, job(), 110)], 125 * SECOND)
    before = of(correlator, one.id)
    moved = [i for i in before.findings if i != one.id]
    stays, new = correlator.say(word(WordKind.SPLIT, before.id, other="INC-NEW", findings=tuple(moved)), 1, NOW)
    correlator.update([late], 131 * SECOND)

    assert (new.id, new.state) == ("INC-NEW", IncidentState.OPEN)
    assert {one.id, late.id} == set(of(correlator, one.id).findings)
    assert set(moved) == set(of(correlator, moved[0]).findings)
    assert stays.id != of(correlator, moved[0]).id


@pytest.mark.parametrize(("told", "count"), [(True, 2), (False, 1)], ids=["told", "not told"])
def test_the_split_holds_after_a_restart_that_is_told_of_it(told: bool, count: int) -> None:
    findings = [finding(K.STRAGGLER, 3, 105), finding(K.THROUGHPUT_DROP, job(), 110)]
    correlator = fed(*findings)
    (before,) = correlator.unresolved
    correlator.say(word(WordKind.SPLIT, before.id, other="INC-NEW", findings=before.findings[1:]), 1, NOW)
    again = Correlator("c")
    again.restore(correlator.unresolved, findings, [(before.id, "INC-NEW")] if told else [])
    again.update([finding(K.HOST_STALL, 3, 100)], 131 * SECOND)

    assert count == len(again.unresolved)


@pytest.mark.parametrize("findings", [("all",), ("nope",)], ids=["all", "unknown"])
def test_a_split_that_leaves_a_side_empty_changes_nothing(findings: tuple[str, ...]) -> None:
    correlator = fed(HOT, SLOW)
    (before,) = correlator.unresolved
    wanted = before.findings if findings == ("all",) else findings
    with pytest.raises(GiveUp):
        correlator.say(word(WordKind.SPLIT, before.id, other="INC-NEW", findings=wanted), 1, NOW)

    assert [before] == correlator.unresolved


def test_a_word_heard_twice_or_about_nothing_known_changes_nothing() -> None:
    correlator = fed(HOT)
    said = word(WordKind.RESOLVE, of(correlator, HOT.id).id)
    correlator.say(said, 5, NOW)

    assert correlator.say(said, 5, NOW + 1) == []
    assert correlator.say(word(WordKind.RESOLVE, "INC-NOTTHERE"), 6, NOW) == []


def test_a_word_that_comes_too_late_is_taken_note_of_and_changes_nothing_else() -> None:
    """So that the store takes what this watch says from then on."""
    correlator = fed(HOT)
    id_ = of(correlator, HOT.id).id
    (over,) = correlator.say(word(WordKind.RESOLVE, id_), 5, NOW)
    (late,) = correlator.say(word(WordKind.SNOOZE, id_, until_ns=10**15), 6, NOW)

    assert (IncidentState.RESOLVED, over.resolved_ns, 6) == (late.state, late.resolved_ns, late.word)
