"""The same error of one card again: part of the old finding while the job has not got over it, and then another one."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace
from simulated_fleet import EMPTY, NODE, NS, WORK, Fleet, event, gpu

from collectors.model import EventKind, EventSource, Subject, SubjectFacts, SubjectKind
from detectors.correlation import Correlator
from detectors.model import Finding, FindingKind, Incident
from detectors.recurrence import ANEW, READ_SECONDS, Recoveries

K = FindingKind
DIES = "RuntimeError: CUDA error: uncorrectable ECC error encountered"


def xid(fleet: Fleet, code: float, subject: Subject = gpu(1)) -> Fleet:  # noqa: B008 - a frozen value
    return fleet.say(
        event(EventKind.XID, subject, fleet.now_ns, EventSource.KERNEL_LOG, f"NVRM: Xid: {code}", code=code)
    )


def counted(fleet: Fleet) -> Fleet:
    return fleet.add(1, "uncorrected", 1)


def dies(fleet: Fleet) -> Fleet:
    fleet.step_gap_s = None
    return fleet.log(EventKind.CUDA_ERROR, DIES).run(2).set(**EMPTY).run(20)


def works_again(fleet: Fleet, seconds: float = 60) -> Fleet:
    fleet.log(EventKind.TRAINING_START).set(**WORK, memory=60.0 * 2**30, processes=1.0, reasons=4.0).run(10)
    fleet.step_gap_s = 0.5
    return fleet.run(seconds)


def incidents(fleet: Fleet) -> list[Incident]:
    """What a correlator makes of everything found, told when it opened and as it stands now."""
    correlator, told = Correlator("c"), list(fleet.found.values())
    every: dict[str, Incident] = {}
    for now_ns in sorted({finding.opened_ns for finding in told}):
        opened = [as_opened(f) for f in told if f.opened_ns == now_ns]
        ended = [f for f in told if f.cleared_ns is not None and f.opened_ns < now_ns >= f.cleared_ns]
        every |= {i.id: i for i in correlator.update([*ended, *opened], now_ns)}
    every |= {i.id: i for i in correlator.update(told, fleet.now_ns + 60 * NS)}
    return sorted((i for i in every.values() if i.findings), key=lambda i: i.opened_ns)


def as_opened(finding: Finding) -> Finding:
    return replace(finding, cleared_ns=None, cleared_because="")


@pytest.mark.parametrize("code", [94, 48, 74, 119, 31])
def test_an_error_that_kills_the_job_again_after_it_was_started_anew_is_another_incident(code: int) -> None:
    fleet = Fleet(2).run(60)
    for _ in range(2):
        works_again(dies(xid(fleet, code)))

    first, second = incidents(fleet)

    kind = K.ECC_UNCORRECTABLE if code in (94, 48) else K.XID
    assert [(first.kind, first.subject), (second.kind, second.subject)] == [(kind, gpu(1))] * 2
    assert K.JOB_CRASH in first.kinds and K.JOB_CRASH in second.kinds
    assert next(f.cleared_because for f in fleet.of(kind)) == ANEW
    assert len(fleet.open(kind)) == 1


def test_the_counter_alone_tells_it_too() -> None:
    fleet = Fleet(2).run(60)
    for _ in range(2):
        works_again(dies(counted(fleet).run(1)), READ_SECONDS + 10)

    assert [incident.kind for incident in incidents(fleet)] == [K.ECC_UNCORRECTABLE] * 2


def test_a_counter_that_is_read_after_the_job_has_come_back_says_nothing_new() -> None:
    fleet = works_again(dies(xid(Fleet(2).run(60), 94)), 20)

    counted(fleet).run(2)

    assert len(fleet.of(K.ECC_UNCORRECTABLE)) == 1


@pytest.mark.parametrize(
    "between",
    [
        pytest.param(lambda fleet: fleet.run(900), id="the job went on"),
        pytest.param(dies, id="the job is still dead"),
        pytest.param(
            lambda fleet: fleet.log(EventKind.TRACEBACK, "ValueError").run(60), id="what was raised was caught"
        ),
    ],
)
def test_an_error_that_repeats_before_the_job_got_over_it_is_the_same(between: Callable[[Fleet], Fleet]) -> None:
    fleet = xid(Fleet(2).run(60), 74).run(2)

    xid(between(fleet), 74).run(2)

    assert len(fleet.of(K.XID)) == 1


def test_an_error_that_meets_the_next_job_on_the_card_is_another() -> None:
    fleet = xid(Fleet(2).run(60), 94).run(2)
    fleet.facts = {"job": "job-2"}
    fleet.run(60)

    xid(fleet, 94).run(2)

    assert [finding.cleared_because for finding in fleet.of(K.ECC_UNCORRECTABLE)] == [ANEW, ""]


def test_a_node_whose_jobs_nobody_knows_repeats_itself() -> None:
    fleet = works_again(dies(xid(Fleet(2).run(60), 20034, NODE)))

    xid(fleet, 20034, NODE).run(2)

    assert len(fleet.of(K.XID)) == 1
    assert SubjectFacts(NODE, "node-a") == fleet.engine.inventory.facts[NODE]


def test_of_many_jobs_those_longest_without_news_are_forgotten() -> None:
    recoveries = Recoveries(most_jobs=3)
    jobs = [Subject("c", SubjectKind.JOB, f"job-{number}") for number in range(10)]
    for at, job in enumerate(jobs):
        recoveries.on_event(event(EventKind.CUDA_ERROR, job, at * NS, EventSource.TRAINING_LOG))
    died = list(recoveries._died)
    for at, job in enumerate([*jobs[7:], *jobs[:7]], 10):
        recoveries.on_event(event(EventKind.CUDA_ERROR, job, at * NS, EventSource.TRAINING_LOG))
        recoveries.on_event(event(EventKind.TRAINING_STEP, job, at * NS + 1, EventSource.TRAINING_LOG))

    assert (died, recoveries._died) == (jobs[7:], {})
    assert list(recoveries._steps_again_ns) == jobs[4:7]
