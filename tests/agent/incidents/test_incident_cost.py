"""What an incident costs, from its findings alone."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.incidents.cost import Bound, cost_of, share_of
from collectors.model import Origin, Subject, SubjectKind
from detectors.model import Evidence, Finding, FindingKind, Incident, IncidentState, Severity

K = FindingKind
SECOND = 1_000_000_000
GPU = Subject("c", SubjectKind.GPU, "GPU-1")
JOB = Subject("c", SubjectKind.JOB, "uid-train")


def finding(
    kind: FindingKind,
    since: float,
    cleared: float | None = None,
    *,
    job: str = "train",
    evidence: tuple[Evidence, ...] = (),
) -> Finding:
    return Finding(
        id=f"F-{kind.value}-{since}-{job}",
        kind=kind,
        subject=JOB if job else GPU,
        severity=Severity.WARNING,
        opened_ns=int(since * SECOND),
        since_ns=int(since * SECOND),
        confidence=0.9,
        summary="",
        origin=Origin.LIVE,
        evidence=evidence,
        cleared_ns=None if cleared is None else int(cleared * SECOND),
        names={"job": job} if job else {},
    )


def incident(*findings: Finding, gpus: dict[str, int] | None = None, resolved: float | None = None) -> Incident:
    root = findings[0]
    return Incident(
        id="INC-1",
        state=IncidentState.OPEN if resolved is None else IncidentState.RESOLVED,
        root=root.id,
        findings=tuple(one.id for one in findings),
        kind=root.kind,
        subject=root.subject,
        severity=root.severity,
        title="",
        opened_ns=root.opened_ns,
        since_ns=root.since_ns,
        updated_ns=root.opened_ns,
        origin=Origin.LIVE,
        resolved_ns=None if resolved is None else int(resolved * SECOND),
        gpus={"train": 64} if gpus is None else gpus,
    )


def seen(metric: str, value: float | None, expected: float | None) -> tuple[Evidence, ...]:
    return (Evidence("", 0, metric, value, expected),)


def test_a_hang_costs_every_gpu_of_its_job_from_its_beginning_until_now() -> None:
    hang = finding(K.COLLECTIVE_HANG, 100)
    cost = cost_of(incident(hang), [hang], 160 * SECOND, gpu_hour=3.6)

    assert (cost.bound, cost.gpus_idle, cost.ranks, cost.gpu_seconds) == (Bound.ABOUT, 64.0, 64, 3840.0)
    assert cost.money == pytest.approx(3.84)
    assert cost.sentence == "Has cost about 1.1 GPU-hours so far; all 64 GPUs held up now."


def test_findings_of_one_job_at_once_count_once_by_the_greatest_share() -> None:
    slow = finding(K.STRAGGLER, 100, evidence=seen("gpu_sm_clock_hertz", 0.75, 1.0))
    hang = finding(K.COLLECTIVE_HANG, 120, 130)
    crash = finding(K.JOB_CRASH, 125, 135)
    cost = cost_of(incident(slow), [slow, hang, crash], 140 * SECOND)

    # 20 s and 5 s at a quarter, 15 s whole
    assert cost.gpu_seconds == pytest.approx(64 * (25 * 0.25 + 15))
    assert (cost.bound, cost.gpus_idle) == (Bound.AT_MOST, 16.0)


def test_what_has_cleared_holds_up_nothing_now() -> None:
    hang = finding(K.COLLECTIVE_HANG, 100, 110)
    cost = cost_of(incident(hang), [hang], 500 * SECOND)

    assert (cost.gpus_idle, cost.gpu_seconds) == (0.0, 640.0)
    assert cost.sentence.endswith("nothing is held up now.")


def test_a_resolved_incident_costs_no_more_whatever_its_findings_say() -> None:
    hang = finding(K.COLLECTIVE_HANG, 100)
    cost = cost_of(incident(hang, resolved=110), [hang], 10_000 * SECOND)

    assert (cost.gpu_seconds, cost.gpus_idle) == (640.0, 0.0)


def test_a_job_whose_gpus_nobody_told_costs_an_unknown_sum_and_not_none() -> None:
    hang = finding(K.COLLECTIVE_HANG, 100)
    cost = cost_of(incident(hang, gpus={}), [hang], 160 * SECOND, gpu_hour=2.0)

    assert (cost.bound, cost.gpus_idle, cost.gpu_seconds, cost.money) == (Bound.UNKNOWN, None, None, None)


def test_a_card_without_a_job_counts_for_one() -> None:
    lost = finding(K.GPU_LOST, 100, job="")

    assert cost_of(incident(lost), [lost], 110 * SECOND).gpu_seconds == pytest.approx(10.0)


def test_an_incident_that_holds_up_nothing_says_so() -> None:
    leak = finding(K.GPU_MEMORY_LEAK, 100)
    cost = cost_of(incident(leak), [leak], 160 * SECOND)

    assert (cost.bound, cost.gpu_seconds, cost.money) == (Bound.NONE, 0.0, None)


def test_two_jobs_cost_each_their_own() -> None:
    one, other = finding(K.COLLECTIVE_HANG, 100, 110), finding(K.JOB_CRASH, 100, 120, job="b")
    cost = cost_of(incident(one, gpus={"train": 8, "b": 2}), [one, other], 200 * SECOND)

    assert (cost.gpu_seconds, cost.ranks) == (120.0, 10)


def test_ten_thousand_findings_of_one_job_are_summed_as_one() -> None:
    findings = [finding(K.RANK_CRASH, 100 + n / 1000, 200) for n in range(10_000)]

    assert cost_of(incident(findings[0]), findings, 300 * SECOND).gpu_seconds == pytest.approx(6400.0)


@pytest.mark.parametrize(
    ("kind", "evidence", "share", "bound"),
    [
        pytest.param(K.COLLECTIVE_HANG, (), 1.0, Bound.ABOUT, id="hang"),
        pytest.param(K.TRAINING_STALL, (), 1.0, Bound.ABOUT, id="stall"),
        pytest.param(K.JOB_CRASH, (), 1.0, Bound.AT_MOST, id="crash"),
        pytest.param(K.STRAGGLER, seen("gpu_sm_clock_hertz", 0.84, 1.05), 0.2, Bound.ABOUT, id="straggler by clock"),
        pytest.param(K.STRAGGLER, seen("training_step", 4.0, 1.0), 0.75, Bound.AT_MOST, id="straggler by gap"),
        pytest.param(K.STRAGGLER, seen("gpu_sm_clock_hertz", 1.01, 1.0), 1.0, Bound.AT_MOST, id="clock as ever"),
        pytest.param(K.POWER_THROTTLE, seen("gpu_sm_clock_hertz", 1.6e9, 2e9), 0.2, Bound.ABOUT, id="power"),
        pytest.param(K.POWER_THROTTLE, seen("gpu_sm_clock_hertz", 1.6e9, None), 0.0, Bound.NONE, id="no habit known"),
        pytest.param(K.DATALOADER_STALL, seen("training_step", 2.0, 0.5), 0.75, Bound.AT_MOST, id="data"),
        pytest.param(K.DATALOADER_STALL, (), 1.0, Bound.AT_MOST, id="data, no log"),
        pytest.param(K.DATALOADER_STALL, seen("training_step", 0.4, 0.5), 1.0, Bound.AT_MOST, id="gap as ever"),
        pytest.param(K.LOSS_NAN, (), 0.0, Bound.NONE, id="nan"),
        pytest.param(K.XID, (), 0.0, Bound.NONE, id="xid"),
    ],
)
def test_the_share_lost_goes_by_kind_and_evidence(
    kind: FindingKind, evidence: tuple[Evidence, ...], share: float, bound: Bound
) -> None:
    found, how = share_of(finding(kind, 100, evidence=evidence))

    assert (pytest.approx(share), bound) == (found, how)


@given(
    st.lists(
        st.tuples(st.sampled_from(FindingKind), st.integers(0, 500), st.none() | st.integers(0, 400)),
        min_size=1,
        max_size=12,
    ),
    st.integers(500, 2000),
)
def test_no_cost_is_below_zero_nor_above_every_gpu_all_the_time(told, now: int) -> None:
    findings = [finding(kind, since, None if lasts is None else since + lasts) for kind, since, lasts in told]
    first = min(one.since_ns for one in findings)
    cost = cost_of(msgspec.structs.replace(incident(*findings), updated_ns=0), findings, now * SECOND)

    assert 0 <= (cost.gpu_seconds or 0.0) <= 64 * (now * SECOND - first) / SECOND + 1e-6
    assert 0 <= (cost.gpus_idle or 0.0) <= 64
