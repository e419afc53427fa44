"""What comes and goes is one incident with a count; two different faults in a row stay two."""

import msgspec
import pytest
from correlation_findings import SECOND, finding, job

from detectors.correlation import Correlator
from detectors.model import Evidence, Finding, FindingKind, Incident, IncidentState

K = FindingKind


def resting_on(known: Finding, metric: str) -> Finding:
    evidence = (Evidence("as read", known.since_ns, metric, source="nvml"),)
    return msgspec.structs.replace(known, evidence=evidence, id=f"{known.id}-{metric}")


def come_and_gone(correlator: Correlator, starts: list[int], metrics: list[str]) -> list[Incident]:
    """Each lasts twenty seconds and is left alone for forty more."""
    heard: list[Incident] = []
    for start, metric in zip(starts, metrics, strict=True):
        known = resting_on(finding(K.THERMAL_THROTTLE, 3, start), metric)
        over = msgspec.structs.replace(known, cleared_ns=(start + 20) * SECOND, cleared_because="back to its habit")
        heard += correlator.update([known], start * SECOND)
        heard += correlator.update([over], (start + 20) * SECOND)
        heard += correlator.update([], (start + 60) * SECOND)
    return heard


def newest(heard: list[Incident]) -> dict[str, Incident]:
    return {incident.id: incident for incident in heard}


def test_a_card_that_comes_and_goes_is_one_incident_with_a_count() -> None:
    starts = list(range(100, 1100, 100))
    (incident,) = newest(come_and_gone(Correlator("c"), starts, ["clock"] * 10)).values()

    assert (incident.reopened, len(incident.findings), incident.state) == (9, 10, IncidentState.RESOLVED)
    assert incident.title.endswith("slowed down by heat; 10 times")


def test_the_second_time_by_other_readings_is_another_incident_and_the_third_makes_them_one() -> None:
    correlator = Correlator("c")
    two = newest(come_and_gone(correlator, [100, 200], ["clock", "power"]))
    assert [incident.reopened for incident in two.values()] == [0, 0]

    three = two | newest(come_and_gone(correlator, [300], ["clock"]))
    first, second = three.values()
    assert (first.reopened, len(first.findings), second.findings) == (2, 3, ())
    assert second.resolved_because == f"its findings belong to {first.id}, which comes and goes"


def test_after_ten_quiet_minutes_it_is_news_again() -> None:
    assert len(newest(come_and_gone(Correlator("c"), [100, 800], ["clock", "clock"]))) == 2


def test_a_restart_does_not_lose_the_count() -> None:
    before, after = Correlator("c"), Correlator("c")
    heard = come_and_gone(before, [100, 200], ["clock"] * 2)
    known = [
        msgspec.structs.replace(
            resting_on(finding(K.THERMAL_THROTTLE, 3, start), "clock"), cleared_ns=(start + 20) * SECOND
        )
        for start in (100, 200)
    ]
    after.restore(newest(heard).values(), known)
    (incident,) = newest(come_and_gone(after, [300], ["clock"])).values()

    assert (incident.reopened, len(incident.findings)) == (2, 3)


def crash(start: float, *words: str, cleared: float | None = None) -> Finding:
    known = finding(K.JOB_CRASH, job(), start, cleared=cleared)
    said = zip(words, ("process_exit", "traceback"), strict=False)
    evidence = tuple(Evidence(text, known.since_ns, metric, source="training_log") for text, metric in said)
    return msgspec.structs.replace(known, evidence=evidence)


@pytest.mark.parametrize(
    ("words", "again", "incidents"),
    [
        pytest.param(("exit code 1", "KeyError: 'ids'"), ("exit code 1", "KeyError: 'ids'"), 1, id="the same"),
        pytest.param(("exit code 1", "KeyError: 'ids'"), ("exit code 1", "ValueError: 64"), 2, id="another exception"),
        pytest.param(("exit code 1", "at 0x7f12: 64"), ("exit code 1", "at 0x7e99: 63"), 1, id="other numbers in it"),
        pytest.param(("exit code 1", "KeyError: 'ids'"), ("exit code 1",), 1, id="nothing more is said"),
    ],
)
def test_a_job_that_dies_of_another_exception_has_crashed_anew(words, again, incidents: int) -> None:
    correlator = Correlator("c")
    first, over, second = crash(100, *words), crash(100, *words, cleared=200), crash(500, *again)
    heard: list[Incident] = []
    for known, now in ((first, 100), (over, 200), (None, 240), (second, 500)):
        heard += correlator.update([known] if known else [], now * SECOND)

    assert len([i for i in newest(heard).values() if i.findings]) == incidents


def test_an_incident_that_is_open_still_takes_in_no_other_crash() -> None:
    correlator = Correlator("c")
    for known, now in (
        (crash(100, "exit code 1", "KeyError", cleared=200), 200),
        (crash(210, "exit code 1", "OSError"), 210),
    ):
        correlator.update([known], now * SECOND)

    assert len(correlator.unresolved) == 2
