"""Findings that belong together become one incident, those that do not stay apart."""

import random

import msgspec
import pytest
from correlation_findings import SECOND, finding, gpu, job, node

from collectors.errors import GiveUp
from collectors.model import Origin
from detectors.correlation import QUIET_SECONDS, Correlator, incident_id
from detectors.model import Evidence, Finding, FindingKind, IncidentState, Severity

K = FindingKind


def fed(*findings: Finding, tick: float = 5.0) -> Correlator:
    """A correlator that was told the findings one tick each, at their opening."""
    correlator = Correlator("c")
    for known in findings:
        correlator.update([known], known.opened_ns)
    return correlator


def only(correlator: Correlator):
    (incident,) = correlator.unresolved
    return incident


XID_CHAIN = (
    finding(K.XID, 3, 100, codes=(79,), severity=Severity.CRITICAL),
    finding(K.GPU_LOST, 3, 101, severity=Severity.CRITICAL),
    finding(K.COLLECTIVE_HANG, 3, 103),
    finding(K.COLLECTIVE_TIMEOUT, 0, 702),
    finding(K.JOB_CRASH, job(), 710),
)


def test_an_xid_79_the_timeout_it_caused_and_the_job_that_died_are_one_incident() -> None:
    incident = only(fed(*XID_CHAIN))

    assert incident.kinds == (K.XID, K.GPU_LOST, K.COLLECTIVE_HANG, K.COLLECTIVE_TIMEOUT, K.JOB_CRASH)
    assert XID_CHAIN[0].id == incident.root
    assert gpu(3) == incident.subject
    assert Severity.CRITICAL is incident.severity


def test_the_title_names_the_cause_the_place_and_what_followed() -> None:
    assert (
        only(fed(*XID_CHAIN)).title == "GPU 3 of node a (rank 3): Xid 79 (GPU has fallen off the bus); "
        "then loss of the GPU, collective hang, collective timeout, job crash"
    )


def test_the_order_of_arrival_over_ticks_leads_to_the_same_root_and_members() -> None:
    for seed in range(20):
        shuffled = random.Random(seed).sample(XID_CHAIN, len(XID_CHAIN))
        correlator = Correlator("c")
        for place, known in enumerate(shuffled):
            correlator.update([known], (800 + place) * SECOND)
        incident = only(correlator)

        assert XID_CHAIN[0].id == incident.root
        assert {known.id for known in XID_CHAIN} == set(incident.findings)


def test_a_root_found_late_takes_its_place_and_the_id_stays() -> None:
    hang, xid = finding(K.COLLECTIVE_HANG, 3, 103), finding(K.XID, 3, 100, codes=(79,))
    correlator = Correlator("c")
    (before,) = correlator.update([hang], 115 * SECOND)
    (after,) = correlator.update([xid], 120 * SECOND)

    assert before.id == after.id == incident_id(hang.id)
    assert (K.XID, gpu(3), xid.since_ns, xid.id) == (after.kind, after.subject, after.since_ns, after.root)
    assert before.opened_ns == after.opened_ns
    assert after.title == "GPU 3 of node a (rank 3): Xid 79 (GPU has fallen off the bus); then collective hang"


def test_a_root_that_explains_two_incidents_makes_them_one_and_says_so() -> None:
    drop, timeout = finding(K.THROUGHPUT_DROP, job(), 110), finding(K.COLLECTIVE_TIMEOUT, 0, 700)
    correlator = fed(drop, timeout)
    assert len(correlator.unresolved) == 2

    changed = correlator.update([finding(K.COLLECTIVE_HANG, 3, 100)], 720 * SECOND)

    kept, gone = changed
    assert (kept.state, gone.state) == (IncidentState.OPEN, IncidentState.RESOLVED)
    assert (incident_id(drop.id), incident_id(timeout.id)) == (kept.id, gone.id)
    assert kept.kinds == (K.COLLECTIVE_HANG, K.THROUGHPUT_DROP, K.COLLECTIVE_TIMEOUT)
    assert gone.findings == ()
    assert f"its findings belong to {kept.id}, whose root was found late" == gone.resolved_because


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(finding(K.THERMAL_THROTTLE, 1, 100), finding(K.THERMAL_THROTTLE, 5, 101), id="heat on two cards"),
        pytest.param(finding(K.STRAGGLER, 1, 100), finding(K.STRAGGLER, 5, 100), id="two slow ranks"),
        pytest.param(finding(K.XID, 1, 100, codes=(48,)), finding(K.GPU_LOST, 5, 101), id="Xid and another card lost"),
        pytest.param(finding(K.THERMAL_THROTTLE, 1, 100), finding(K.STRAGGLER, 5, 110), id="heat, another card slow"),
        pytest.param(
            finding(K.XID, 1, 100), finding(K.JOB_CRASH, job("b"), 110, on="b", of="b"), id="another job crashes"
        ),
        pytest.param(finding(K.LOSS_NAN, job(), 100), finding(K.XID, 1, 100), id="NaN explains no Xid"),
        pytest.param(
            finding(K.XID, 1, 100),
            finding(K.JOB_CRASH, job(), 110, origin=Origin.REPLAY),
            id="a replay is another world",
        ),
    ],
)
def test_two_causes_at_once_stay_two_incidents(first, second) -> None:
    assert len(fed(first, second).unresolved) == 2


def test_a_second_cause_of_a_mere_consequence_stays_apart() -> None:
    correlator = fed(finding(K.XID, 3, 100), finding(K.JOB_CRASH, job(), 110), finding(K.XID, 5, 109))

    assert [incident.kinds for incident in correlator.unresolved] == [(K.XID, K.JOB_CRASH), (K.XID,)]


def test_an_effect_after_the_longest_lag_stands_alone() -> None:
    joined = fed(finding(K.XID, 3, 100), finding(K.COLLECTIVE_TIMEOUT, 0, 759))
    apart = fed(finding(K.XID, 3, 100), finding(K.COLLECTIVE_TIMEOUT, 0, 761))

    assert (len(joined.unresolved), len(apart.unresolved)) == (1, 2)


def test_a_lasting_cause_reaches_as_far_as_it_lasts() -> None:
    correlator = fed(finding(K.GPU_MEMORY_LEAK, 3, 100), finding(K.GPU_MEMORY_PRESSURE, 3, 20_000))

    assert only(correlator).kinds == (K.GPU_MEMORY_LEAK, K.GPU_MEMORY_PRESSURE)


def test_a_rank_that_dies_is_the_cause_of_the_timeout_a_minute_later() -> None:
    correlator = fed(
        finding(K.RANK_CRASH, 1, 408), finding(K.COLLECTIVE_HANG, 1, 407), finding(K.COLLECTIVE_TIMEOUT, 0, 468)
    )

    assert only(correlator).kinds == (K.RANK_CRASH, K.COLLECTIVE_HANG, K.COLLECTIVE_TIMEOUT)


def test_a_rank_that_its_watchdog_ends_is_a_consequence_of_the_timeout() -> None:
    correlator = fed(
        finding(K.COLLECTIVE_HANG, 1, 100), finding(K.COLLECTIVE_TIMEOUT, 0, 700), finding(K.RANK_CRASH, 0, 702)
    )

    assert only(correlator).kinds == (K.COLLECTIVE_HANG, K.COLLECTIVE_TIMEOUT, K.RANK_CRASH)


def test_an_xid_45_is_the_tidying_up_after_a_crash_and_never_its_cause() -> None:
    for pair in (
        (finding(K.RANK_CRASH, 1, 100), finding(K.XID, 1, 101, codes=(45,))),
        (finding(K.XID, 1, 101, codes=(45,)), finding(K.RANK_CRASH, 1, 100)),
    ):
        assert only(fed(*pair)).kinds == (K.RANK_CRASH, K.XID)


def test_what_is_unusual_opens_nothing_and_joins_what_opens_at_its_place() -> None:
    correlator = Correlator("c")
    unusual = finding(K.UNUSUAL, 3, 90)
    assert correlator.update([unusual], 100 * SECOND) == []

    (incident,) = correlator.update([finding(K.THERMAL_THROTTLE, 3, 95)], 110 * SECOND)

    assert incident.kinds == (K.THERMAL_THROTTLE, K.UNUSUAL)


def test_what_is_unusual_keeps_no_incident_open() -> None:
    correlator = fed(finding(K.UNUSUAL, 3, 90), finding(K.THERMAL_THROTTLE, 3, 95))
    (incident,) = correlator.update([finding(K.THERMAL_THROTTLE, 3, 95, cleared=200)], 300 * SECOND)

    assert IncidentState.RESOLVED is incident.state


def test_an_info_finding_makes_an_incident_of_severity_info() -> None:
    assert Severity.INFO is only(fed(finding(K.POWER_THROTTLE, 0, 10, severity=Severity.INFO))).severity


def test_denser_work_on_all_ranks_of_a_job_is_one_incident() -> None:
    ranks = [finding(K.POWER_THROTTLE, rank, 10 + rank, severity=Severity.INFO) for rank in range(8)]

    assert len(only(fed(*ranks)).findings) == 8


def test_an_incident_resolves_when_all_has_stayed_cleared_and_never_by_silence() -> None:
    correlator = fed(finding(K.THERMAL_THROTTLE, 3, 100), finding(K.STRAGGLER, 3, 105))
    assert correlator.update([], 1_000_000 * SECOND) == []

    (still,) = correlator.update([finding(K.STRAGGLER, 3, 105, cleared=200)], 1_000_010 * SECOND) or [None]
    assert still is None or still.state is IncidentState.OPEN


def test_an_incident_waits_until_everything_has_stayed_cleared() -> None:
    correlator = fed(finding(K.THERMAL_THROTTLE, 3, 100), finding(K.STRAGGLER, 3, 105))
    both = [finding(K.STRAGGLER, 3, 105, cleared=190), finding(K.THERMAL_THROTTLE, 3, 100, cleared=200)]

    assert correlator.update(both, 201 * SECOND) == []
    assert correlator.update([], int((200 + QUIET_SECONDS - 1) * SECOND)) == []
    (resolved,) = correlator.update([], int((200 + QUIET_SECONDS) * SECOND))

    assert IncidentState.RESOLVED is resolved.state
    assert resolved.resolved_because == "back to its habit"
    assert resolved.resolved_ns == 230 * SECOND
    assert correlator.unresolved == []


def test_the_same_again_is_the_same_incident_until_ten_minutes_after_it_resolved_and_then_a_new_one() -> None:
    correlator = fed(finding(K.STRAGGLER, 3, 100), finding(K.STRAGGLER, 3, 100, cleared=200))
    correlator.update([finding(K.STRAGGLER, 3, 215)], 225 * SECOND)
    assert len(only(correlator).findings) == 2

    correlator.update([finding(K.STRAGGLER, 3, 215, cleared=230)], 230 * SECOND)
    correlator.update([], 270 * SECOND)
    assert correlator.unresolved == []
    correlator.update([finding(K.STRAGGLER, 3, 300)], 310 * SECOND)
    assert (len(only(correlator).findings), only(correlator).reopened) == (3, 1)

    correlator.update([finding(K.STRAGGLER, 3, 300, cleared=320)], 320 * SECOND)
    correlator.update([], 350 * SECOND)
    correlator.update([finding(K.STRAGGLER, 3, 951)], 951 * SECOND)
    assert (len(only(correlator).findings), only(correlator).reopened) == (1, 0)


def test_an_acknowledged_incident_stays_so_until_it_resolves() -> None:
    correlator = fed(finding(K.THERMAL_THROTTLE, 3, 100))
    correlator.mark(only(correlator).id, IncidentState.ACKNOWLEDGED, 120 * SECOND)
    (grown,) = correlator.update([finding(K.STRAGGLER, 3, 105)], 125 * SECOND)

    assert IncidentState.ACKNOWLEDGED is grown.state


@pytest.mark.parametrize("state", [IncidentState.RESOLVED, IncidentState.ACKNOWLEDGED], ids=["resolve", "unknown id"])
def test_a_person_cannot_resolve_what_holds_nor_mark_what_is_not_open(state) -> None:
    correlator = fed(finding(K.THERMAL_THROTTLE, 3, 100))
    wanted = only(correlator).id if state is IncidentState.RESOLVED else "INC-NOTTHERE"

    with pytest.raises(GiveUp):
        correlator.mark(wanted, state, 120 * SECOND)


def test_after_a_restart_the_story_goes_on_where_it_was() -> None:
    whole = fed(*XID_CHAIN)
    first, rest = XID_CHAIN[:3], XID_CHAIN[3:]
    before = fed(*first)
    after = Correlator("c")
    after.restore(before.unresolved, first)
    for known in rest:
        after.update([known], known.opened_ns)

    assert whole.unresolved == after.unresolved


def test_a_restart_changes_nothing_by_itself() -> None:
    before = fed(*XID_CHAIN)
    after = Correlator("c")
    after.restore(before.unresolved, XID_CHAIN)

    assert after.update([], 720 * SECOND) == []


def test_a_torn_store_is_refused_and_not_taken_for_healthy() -> None:
    with pytest.raises(GiveUp, match="cannot be restored"):
        Correlator("c").restore(fed(*XID_CHAIN).unresolved, XID_CHAIN[:2])


def test_a_finding_of_another_cluster_is_refused_whole() -> None:
    correlator = Correlator("elsewhere")
    with pytest.raises(GiveUp, match="cluster 'c'"):
        correlator.update([XID_CHAIN[0]], 0)

    assert correlator.unresolved == []


def test_resolved_incidents_are_forgotten() -> None:
    correlator = Correlator("c")
    for turn in range(50):
        start = turn * 10_000
        correlator.update([finding(K.STRAGGLER, 3, start)], start * SECOND)
        correlator.update([finding(K.STRAGGLER, 3, start, cleared=start + 60)], (start + 100) * SECOND)
    correlator.update([], 1_000_000 * SECOND)

    held = vars(correlator)
    assert {name: kept for name, kept in held.items() if name != "_cluster" and kept} == {}


def test_a_finding_known_by_names_alone_is_joined_by_names() -> None:
    crash = finding(K.JOB_CRASH, job(), 110)
    told_by_name = Finding(
        id="F-named",
        kind=K.XID,
        subject=node(),
        severity=Severity.CRITICAL,
        opened_ns=105 * SECOND,
        since_ns=100 * SECOND,
        confidence=0.9,
        summary="Xid of a card that nobody can place",
        origin=Origin.LIVE,
        names={"node": "a"},
    )

    assert only(fed(told_by_name, crash)).kinds == (K.XID, K.JOB_CRASH)


def test_a_timeout_counts_from_its_watchdogs_line_not_from_when_the_wait_began() -> None:
    """The wait began when the rank died; it is the line, a minute later, that could have ended a rank."""
    waited = msgspec.structs.replace(
        finding(K.COLLECTIVE_TIMEOUT, job(), 408),
        evidence=(
            Evidence("watchdog of rank 0 gave up after 60 s", 468 * SECOND, "collective_timeout rank 0"),
            Evidence("flight recorder of rank 0: all_reduce", 408 * SECOND, "flight_recorder rank 0"),
        ),
    )
    for pair in ((finding(K.RANK_CRASH, 1, 408), waited), (waited, finding(K.RANK_CRASH, 1, 408))):
        assert only(fed(*pair)).kinds == (K.RANK_CRASH, K.COLLECTIVE_TIMEOUT)


def test_a_lost_card_with_its_xid_says_so_in_the_title() -> None:
    assert only(fed(finding(K.GPU_LOST, 3, 100, codes=(79,)))).title.endswith("the GPU is lost to the driver (Xid 79)")


def test_one_statement_about_two_ranks_is_one_incident() -> None:
    one, other = finding(K.COLLECTIVE_HANG, 1, 100), finding(K.COLLECTIVE_HANG, 2, 100)
    pair = [
        msgspec.structs.replace(one, related=(*one.related, other.subject)),
        msgspec.structs.replace(other, related=(*other.related, one.subject)),
    ]

    assert only(fed(*pair)).kinds == (K.COLLECTIVE_HANG, K.COLLECTIVE_HANG)


def test_a_silent_node_and_its_silent_cards_are_one_incident_about_the_node() -> None:
    cards = [finding(K.TELEMETRY_LOST, index, 100) for index in range(4)]
    incident = only(fed(*cards, finding(K.TELEMETRY_LOST, node(), 102)))

    assert incident.subject == node()
    assert len(incident.findings) == 5


def test_a_lasting_cause_that_is_over_reaches_no_further_than_the_slack() -> None:
    node_back = finding(K.TELEMETRY_LOST, node(), 100, cleared=700)
    near = fed(node_back, finding(K.COLLECTIVE_HANG, 3, 725))
    far = fed(node_back, finding(K.COLLECTIVE_HANG, 3, 790))

    assert (len(near.unresolved) + len(far.unresolved)) >= 2
    assert [i.kinds for i in far.unresolved if K.COLLECTIVE_HANG in i.kinds] == [(K.COLLECTIVE_HANG,)]
    assert [i.kinds for i in near.unresolved if K.COLLECTIVE_HANG in i.kinds] == [(K.TELEMETRY_LOST, K.COLLECTIVE_HANG)]


@pytest.mark.parametrize(
    ("hang_began", "kinds"),
    [
        pytest.param(130, [(K.STRAGGLER, K.COLLECTIVE_HANG)], id="while it lasts"),
        pytest.param(144, [(K.STRAGGLER, K.COLLECTIVE_HANG)], id="as it ends"),
        pytest.param(156, [(K.STRAGGLER,), (K.COLLECTIVE_HANG,)], id="after the job has worked again"),
    ],
)
def test_a_trouble_of_a_running_job_causes_another_only_while_it_lasts(hang_began: float, kinds: list) -> None:
    correlator = fed(finding(K.STRAGGLER, 3, 100, cleared=140), finding(K.COLLECTIVE_HANG, 3, hang_began))

    assert [incident.kinds for incident in correlator.unresolved] == kinds


def stopped(at: float) -> Finding:
    """A rank that died when it had said its last step at `at`, 4 s before that was known."""
    item = Evidence("no step line for 4.0 s", int((at + 4) * SECOND), "training_step", 4.0, 0.2, "seconds")
    return msgspec.structs.replace(finding(K.RANK_CRASH, 3, at), evidence=(item,))


@pytest.mark.parametrize(
    ("code", "last_step", "incidents"),
    [
        pytest.param(31, 101, 1, id="application's, and the job stops"),
        pytest.param(31, 126, 2, id="application's, and the job goes on"),
        pytest.param(94, 126, 1, id="the card's, and the job goes on for a while"),
    ],
)
def test_a_job_that_steps_on_after_an_application_s_xid_was_not_hit_by_it(
    code: int, last_step: float, incidents: int
) -> None:
    assert len(fed(finding(K.XID, 3, 100, codes=(code,)), stopped(last_step)).unresolved) == incidents


def test_a_crash_that_is_said_again_an_hour_after_it_was_over_is_a_new_one() -> None:
    correlator = fed(
        finding(K.ECC_UNCORRECTABLE, 3, 100),
        finding(K.JOB_CRASH, job(), 101, cleared=200),
        finding(K.JOB_CRASH, job(), 3800),
    )

    assert [i.kinds for i in correlator.unresolved] == [(K.ECC_UNCORRECTABLE, K.JOB_CRASH), (K.JOB_CRASH,)]


def test_a_crash_that_is_said_again_at_once_is_the_same() -> None:
    correlator = fed(
        finding(K.ECC_UNCORRECTABLE, 3, 100),
        finding(K.JOB_CRASH, job(), 101, cleared=120),
        finding(K.JOB_CRASH, job(), 150),
    )

    assert len(correlator.unresolved) == 1


def test_a_lost_card_that_its_job_has_left_holds_it_up_no_more() -> None:
    lost, died = finding(K.GPU_LOST, 3, 100), finding(K.JOB_CRASH, job(), 110, cleared=300)
    correlator = fed(lost, died, finding(K.TRAINING_STALL, job(), 340))

    assert [i.kinds for i in correlator.unresolved] == [(K.GPU_LOST, K.JOB_CRASH), (K.TRAINING_STALL,)]


def test_a_lost_node_that_its_job_has_left_kills_it_no_more() -> None:
    lost = finding(K.TELEMETRY_LOST, node("b"), 100, on="b", cleared=500)
    died, died_again = finding(K.JOB_CRASH, job(), 110, cleared=300), finding(K.JOB_CRASH, job(), 510)

    assert [i.kinds for i in fed(lost, died, died_again).unresolved] == [
        (K.TELEMETRY_LOST, K.JOB_CRASH),
        (K.JOB_CRASH,),
    ]


def test_a_lost_card_on_which_the_job_is_started_again_kills_it_again() -> None:
    correlator = fed(
        finding(K.GPU_LOST, 3, 100), finding(K.COLLECTIVE_TIMEOUT, job(), 600), finding(K.JOB_CRASH, job(), 800)
    )

    assert only(correlator).kinds == (K.GPU_LOST, K.COLLECTIVE_TIMEOUT, K.JOB_CRASH)


@pytest.mark.parametrize(("wait_began", "incidents"), [(110, 1), (500, 2)], ids=["with-the-silence", "long-after-it"])
def test_a_silent_node_explains_the_timeout_of_a_wait_that_began_with_it(wait_began: float, incidents: int) -> None:
    silent = finding(K.TELEMETRY_LOST, node(), 100)
    timeout = finding(K.COLLECTIVE_TIMEOUT, job(), wait_began)

    assert len(fed(silent, timeout).unresolved) == incidents


@pytest.mark.parametrize(
    ("norm_jumped", "root"),
    [(98, K.LOSS_DIVERGENCE), (100, K.LOSS_DIVERGENCE), (60, K.GRAD_NORM_SPIKE)],
    ids=["a-line-before", "at-once", "well-before"],
)
def test_a_norm_that_jumps_with_the_loss_is_part_of_it_and_one_that_jumped_before_is_its_warning(
    norm_jumped: float, root: FindingKind
) -> None:
    correlator = fed(finding(K.GRAD_NORM_SPIKE, job(), norm_jumped), finding(K.LOSS_DIVERGENCE, job(), 100))

    assert only(correlator).kind is root


def xids_of_one_card_with_a_crash_between(recovered: bool) -> list[Finding]:
    first = msgspec.structs.replace(finding(K.XID, 3, 100, codes=(31,)), mark="31")
    second = msgspec.structs.replace(finding(K.XID, 3, 250, codes=(13,)), mark="13")
    return [first, finding(K.JOB_CRASH, job(), 102, cleared=200 if recovered else None), second]


def test_another_xid_of_the_card_after_the_job_got_over_the_first_is_another_incident() -> None:
    first, second = fed(*xids_of_one_card_with_a_crash_between(recovered=True)).unresolved

    assert (first.kinds, second.kinds) == ((K.XID, K.JOB_CRASH), (K.XID,))


def test_another_xid_of_the_card_while_its_job_is_dead_is_part_of_it() -> None:
    assert len(fed(*xids_of_one_card_with_a_crash_between(recovered=False)).unresolved) == 1


def test_a_crash_that_has_a_new_cause_is_no_crash_again() -> None:
    first, second = fed(
        finding(K.XID, 3, 100, codes=(79,)),
        finding(K.JOB_CRASH, job(), 110, cleared=190),
        finding(K.XID, 5, 200, codes=(119,)),
        finding(K.JOB_CRASH, job(), 201),
    ).unresolved

    assert (first.kinds, second.kinds) == ((K.XID, K.JOB_CRASH), (K.XID, K.JOB_CRASH))
