"""Many of one kind at once are one incident about what they share; what merely happens beside them is not."""

from random import Random

import msgspec
import pytest
from correlation_findings import SECOND, finding, gpu, job, node
from fleet_findings import at, cleared, info, rack_loses_cooling
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.model import Subject, SubjectKind
from detectors.correlation import MOST_LISTED, Correlator
from detectors.model import Finding, FindingKind, Incident, IncidentState

K = FindingKind
RACK_1 = Subject("c", SubjectKind.RACK, "r1")
FLEET = Subject("c", SubjectKind.CLUSTER, "c")


def told(findings: list[Finding], correlator: Correlator | None = None) -> Correlator:
    """Each tick of five seconds tells what opened in it."""
    correlator = correlator or Correlator("c")
    ticks: dict[int, list[Finding]] = {}
    for known in findings:
        ticks.setdefault(known.opened_ns // (5 * SECOND) + 1, []).append(known)
    for tick in sorted(ticks):
        correlator.update(ticks[tick], tick * 5 * SECOND)
    return correlator


def only(correlator: Correlator) -> Incident:
    (incident,) = correlator.unresolved
    return incident


def test_a_rack_that_loses_its_cooling_is_one_incident_about_the_rack() -> None:
    incident = only(told(rack_loses_cooling(1, 100)))

    assert (incident.subject, incident.kind, incident.names) == (RACK_1, K.THERMAL_THROTTLE, {"rack": "r1"})
    assert len(incident.findings) == 64
    assert incident.title == "rack r1: slowed down by heat, 64 GPUs on 8 nodes at once; suspect the cooling of rack r1"


def test_a_wave_keeps_the_id_of_its_first_incident_and_the_others_say_where_they_went() -> None:
    findings = rack_loses_cooling(1, 100)
    correlator, heard = Correlator("c"), []
    for known in findings:
        heard += correlator.update([known], known.opened_ns)
    kept = only(correlator)
    newest = {incident.id: incident for incident in heard}
    gone = [incident for incident in newest.values() if incident.id != kept.id]

    assert newest[kept.id] == kept
    assert heard[0].id == kept.id
    assert {f"its findings belong to {kept.id}, which has many at once"} == {i.resolved_because for i in gone}
    assert all(i.findings == () and i.state is IncidentState.RESOLVED for i in gone)


def test_consequences_hang_under_the_wave() -> None:
    hot = rack_loses_cooling(1, 100, nodes=3)
    slow = [at(K.STRAGGLER, 9, 2, 190, of="job-1"), finding(K.THROUGHPUT_DROP, job("job-1"), 200, of="job-1")]
    incident = only(told([*hot, *slow]))

    assert incident.kinds[-2:] == (K.STRAGGLER, K.THROUGHPUT_DROP)
    assert incident.subject == RACK_1


def test_a_fault_of_its_own_inside_the_rack_stays_an_incident_of_its_own() -> None:
    correlator = told([*rack_loses_cooling(1, 100), at(K.GPU_LOST, 9, 2, 110), at(K.THERMAL_THROTTLE, 31, 2, 110)])

    assert [(i.kind, i.subject) for i in correlator.unresolved] == [
        (K.THERMAL_THROTTLE, RACK_1),
        (K.GPU_LOST, gpu(2, "n9")),
        (K.THERMAL_THROTTLE, gpu(2, "n31")),
    ]


def test_two_racks_are_two_waves_and_a_third_makes_it_the_fleets() -> None:
    two = told([*rack_loses_cooling(1, 100), *rack_loses_cooling(2, 100)])
    assert sorted(i.names["rack"] for i in two.unresolved) == ["r1", "r2"]

    told(rack_loses_cooling(3, 170), two)
    incident = only(two)
    assert (incident.subject, incident.left_out) == (FLEET, 3 * 64 - len(incident.findings))
    assert "suspect an upgrade, the facility, or the detector" in incident.title


def test_one_hot_node_is_about_the_node_and_its_neighbour_makes_no_rack() -> None:
    findings = [at(K.THERMAL_THROTTLE, 8, card, 100) for card in range(8)]
    incident = only(told(findings))
    assert (incident.subject, incident.names) == (node("n8"), {"node": "n8"})

    assert len(told([*findings, at(K.THERMAL_THROTTLE, 9, 0, 110)]).unresolved) == 2


def test_nodes_of_one_rack_that_fall_silent_together_point_to_its_feed_or_network() -> None:
    incident = only(told([at(K.TELEMETRY_LOST, 8 + n, None, 100 + n) for n in range(4)]))

    assert incident.subject == RACK_1
    assert incident.title == (
        "rack r1: telemetry lost, 4 nodes at once; suspect the power feed or the network of rack r1"
    )


@pytest.mark.parametrize(
    "findings",
    [
        pytest.param([at(K.TELEMETRY_LOST, 8 + n, None, 100 + 130 * n) for n in range(4)], id="one after the other"),
        pytest.param([at(K.STRAGGLER, 8 + n, 0, 100, of=f"j{n}") for n in range(8)], id="a kind that makes no waves"),
        pytest.param([info(at(K.POWER_THROTTLE, 8 + n, 0, 100)) for n in range(8)], id="nothing to worry about"),
        pytest.param([at(K.XID, 8 + n, 0, 100, codes=(48 + n,)) for n in range(4)], id="a different Xid each"),
        pytest.param([at(K.THERMAL_THROTTLE, 8 * n, 0, 100) for n in range(7)], id="seven of a fleet"),
    ],
)
def test_what_is_no_wave_stays_apart(findings: list[Finding]) -> None:
    assert len(told(findings).unresolved) == len(findings)


def test_a_programs_error_on_every_rank_is_about_the_job() -> None:
    findings = [at(K.XID, 8 * n, 0, 100 + n, of="train", codes=(31,)) for n in range(12)]
    incident = only(told(findings))

    assert (incident.subject, incident.names) == (job(), {"job": "train"})
    assert "suspect the job itself" in incident.title


def test_jobs_all_over_the_fleet_that_wait_for_data_point_to_what_they_share() -> None:
    findings = [finding(K.DATALOADER_STALL, job(f"j{n}"), 100 + n, on=f"n{n}", of=f"j{n}") for n in range(5)]
    incident = only(told(findings))

    assert incident.subject == FLEET
    assert "suspect what the jobs share (storage, network)" in incident.title


def test_a_wave_is_resolved_when_its_last_card_has_cleared_and_not_before() -> None:
    findings = rack_loses_cooling(1, 100)
    correlator = told(findings)
    correlator.update([cleared(known, 400) for known in findings[1:]], 400 * SECOND)
    correlator.update([], 1000 * SECOND)
    assert only(correlator).state is IncidentState.OPEN

    correlator.update([cleared(findings[0], 1001)], 1001 * SECOND)
    correlator.update([], 1040 * SECOND)
    assert correlator.unresolved == []


def test_a_wave_goes_on_after_a_restart() -> None:
    findings = rack_loses_cooling(1, 100)
    first, rest = findings[:30], findings[30:]
    whole, before = told(findings), told(first)
    after = Correlator("c")
    after.restore(before.unresolved, first)
    told(rest, after)

    assert [(i.id, i.subject, set(i.findings), i.title) for i in after.unresolved] == [
        (i.id, i.subject, set(i.findings), i.title) for i in whole.unresolved
    ]


def test_roots_before_a_restart_and_after_it_make_a_wave_together() -> None:
    findings = [at(K.TELEMETRY_LOST, 8 + n, None, 100 + n) for n in range(3)]
    before = told(findings[:2])
    after = Correlator("c")
    after.restore(before.unresolved, findings[:2])
    told(findings[2:], after)

    assert only(after).subject == RACK_1


def test_the_list_of_findings_is_capped_counts_the_rest_and_shows_every_kind() -> None:
    hot = [known for rack in range(8) for known in rack_loses_cooling(rack, 100)]
    late = finding(K.THROUGHPUT_DROP, job("job-1"), 250, of="job-1")
    incident = only(told([*hot, late]))

    assert (len(incident.findings), incident.left_out) == (MOST_LISTED, 8 * 64 + 1 - MOST_LISTED)
    assert late.id in incident.findings
    assert len(incident.kinds) == len(incident.findings)


def test_what_a_capped_list_left_out_finds_its_wave_again_after_a_restart() -> None:
    hot = [known for rack in range(8) for known in rack_loses_cooling(rack, 100)]
    before = told(hot)
    after = Correlator("c")
    after.restore(before.unresolved, hot)
    after.update([], 200 * SECOND)

    assert only(after).left_out == only(before).left_out


def test_waves_leave_nothing_behind() -> None:
    correlator = Correlator("c")
    for turn in range(3):
        hot = [known for rack in range(4) for known in rack_loses_cooling(rack, turn * 10_000)]
        hot = [msgspec.structs.replace(known, id=f"{known.id}-{turn}") for known in hot]
        told(hot, correlator)
        correlator.update([cleared(known, turn * 10_000 + 300) for known in hot], (turn * 10_000 + 300) * SECOND)
        correlator.update([], (turn * 10_000 + 400) * SECOND)
    correlator.update([], 1_000_000 * SECOND)

    assert {name: held for name, held in vars(correlator).items() if name != "_cluster" and held} == {}


def _fleet(seed: int) -> list[Finding]:
    """Up to forty findings somewhere on 31 nodes; one number draws them all, since drawing each is slow."""
    random = Random(seed)
    kinds = [K.THERMAL_THROTTLE, K.GPU_LOST, K.XID, K.TELEMETRY_LOST, K.STRAGGLER, K.JOB_CRASH]
    made: dict[str, Finding] = {}
    for _ in range(random.randint(1, 40)):
        kind = random.choice(kinds)
        card = None if kind is K.TELEMETRY_LOST else random.randint(0, 3)
        of = random.choice(["train", "b", None])
        known = at(kind, random.randint(0, 30), card, random.randint(0, 400), of=of)
        made[known.id] = known
    return list(made.values())


FLEETS = st.integers(0, 2**32).map(_fleet)


@settings(max_examples=60, deadline=None)
@given(FLEETS)
def test_whatever_happens_in_a_fleet_every_finding_is_in_exactly_one_incident(findings: list[Finding]) -> None:
    correlator = told(findings)
    held = [finding_id for incident in correlator.unresolved for finding_id in incident.findings]

    assert sorted(held) == sorted(known.id for known in findings)


@settings(max_examples=40, deadline=None)
@given(FLEETS, st.randoms(use_true_random=False))
def test_the_order_within_a_tick_changes_nothing_in_a_fleet(findings: list[Finding], random) -> None:
    shuffled = random.sample(findings, len(findings))

    assert Correlator("c").update(findings, 999 * SECOND) == Correlator("c").update(shuffled, 999 * SECOND)


@settings(max_examples=40, deadline=None)
@given(FLEETS)
def test_a_restart_between_any_two_ticks_keeps_the_incidents_of_a_fleet(findings: list[Finding]) -> None:
    steady = told(findings)
    middle = sorted(known.opened_ns for known in findings)[len(findings) // 2] // (5 * SECOND)
    first = [known for known in findings if known.opened_ns // (5 * SECOND) < middle]
    before, after = told(first), Correlator("c")
    after.restore(before.unresolved, first)
    told([known for known in findings if known not in first], after)

    def shape(correlator: Correlator) -> list[tuple[str, str, frozenset[str]]]:
        return [(i.id, str(i.subject), frozenset(i.findings)) for i in correlator.unresolved]

    assert shape(steady) == shape(after)
