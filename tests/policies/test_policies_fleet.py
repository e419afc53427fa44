"""Decisions over time: waves, many at once, two on one node, plans that end, restarts, what is taken back."""

import msgspec
import pytest
from cluster_cases import changed, cluster, many, node, nodes, pod, policy
from fleet_world import Indexed, World
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_cases import GPU, JOB, NODE, SECOND, crash, ecc, evidence, finding, inventory

from collectors.model import Subject, SubjectFacts, SubjectKind
from detectors.model import FindingKind
from policies.cluster_view import Taken
from policies.engine import PolicyEngine
from policies.model import Mode, Verdict
from policies.rules import parse_policy

pytestmark = pytest.mark.slow

OPEN_LIMITS = "  unavailable: {fleet: {share: 1.0, count: 500}, pool: {share: 1.0}, rack: {share: 1.0, count: 500}}\n"
FAST = OPEN_LIMITS + "  rate: {acts: 500, seconds: 60}\n  cluster: {unwell_share: 1.0}\n"
CORDON = "[notify, cordon]"


def big(count: int):
    """A cluster with n1 ... n`count`, four nodes a rack far from one another."""
    return cluster(all_nodes=[node(f"n{i}", rack=f"r{i % 5}", pool="h200") for i in range(1, count + 1)], all_pods=[])


def world(guards: str = "", count: int = 100, **more) -> World:
    known, _ = many(count)
    rule = more.pop("rule", {})
    return World(policy(more.pop("actions", CORDON), guards, **rule), more.pop("view", big(count)), known, **more)


def test_750_identical_faults_are_one_incident_and_go_at_a_ramp_up_to_the_limit_and_no_further() -> None:
    fleet = world(count=1000)
    _, findings = many(750)
    fleet.tick(101, *findings)
    first = list(fleet.cordoned())
    fleet.run(130, 690, 30)
    held = list(fleet.cordoned())
    fleet.run(700, 1900, 30)
    fleet.run(2000, 6 * 3600, 600)

    assert len([i for i in fleet.incidents.values() if i.findings]) == 1
    assert (first, held) == ([], [])
    assert fleet.cordoned_at[:1] == [pytest.approx(700, abs=60)]
    by_step = [sum(700 + 300 * k <= at < 1000 + 300 * k for at in fleet.cordoned_at) for k in range(4)]
    assert by_step == [1, 2, 4, 3], "the ramp doubles until the rate of 10 an hour holds it"
    assert len(fleet.cordoned()) == 20, "the fleet's limit"


def test_a_wave_neither_freezes_nor_stampedes() -> None:
    fleet = world(FAST, count=100)
    _, findings = many(60)
    fleet.tick(101, *findings)
    fleet.run(105, 4 * 3600, 15)
    per_step = [sum(700 + 300 * k <= at < 1000 + 300 * k for at in fleet.cordoned_at) for k in range(48)]

    assert max(per_step) <= 8
    assert len(fleet.cordoned()) == 60, "all of them in the end, without anybody's help"


@pytest.mark.slow
def test_a_wave_that_goes_on_is_held_for_an_hour_at_most() -> None:
    fleet = world(FAST, count=100)
    _, findings = many(60)
    for index, one in enumerate(findings):
        at = int((100 + 110 * index) * SECOND)
        fleet.tick(101 + 110 * index, msgspec.structs.replace(one, opened_ns=at, since_ns=at))
    fleet.run(6800, 9000, 15)

    assert fleet.cordoned(), "somebody is treated though the wave is not quiet"
    assert min(fleet.cordoned_at) < 100 + 2 * 3600


def test_a_silent_node_of_a_wave_is_left_and_holds_up_no_other() -> None:
    fleet = world(FAST, count=100)
    _, findings = many(60)
    quiet = [
        msgspec.structs.replace(
            finding(FindingKind.TELEMETRY_LOST, since=300, subject=one.related[0], names=one.names, related=()),
            id=f"F-silent-{index}",
        )
        for index, one in enumerate(findings[:3])
    ]
    fleet.tick(101, *findings)
    fleet.tick(301, *quiet)
    fleet.run(305, 4 * 3600, 30)

    assert len(fleet.cordoned()) == 57
    assert not {"n1", "n2", "n3"} & set(fleet.cordoned())


def test_500_incidents_at_once_stay_within_every_limit_in_the_very_same_tick() -> None:
    guards = "  wave: {rack: 1000, domain: 1000, fleet: 1000}\n  rate: {acts: 400, seconds: 3600}\n"
    fleet = world(guards, count=1000, obeys=False)
    for index, one in enumerate(many(500)[1]):
        # of different kinds of condition, so that they stay incidents of their own
        fleet.findings[one.id] = one
        incident = msgspec.structs.replace(_alone(one), id=f"INC-{index:04d}")
        decision = fleet.engine.decide(incident, [one], fleet.known, 101 * SECOND)
        fleet.decisions.append(decision)
    verdicts = fleet.verdicts()

    assert (verdicts.count("do"), verdicts.count("refused")) == (20, 480)
    assert "20 are about to be" in fleet.decisions[-1].reason


def _alone(one):
    from detectors.correlation import Correlator

    correlator = Correlator("c")
    correlator.update([one], 101 * SECOND)
    (made,) = correlator.unresolved
    return made


def test_guards_that_refused_are_asked_again_and_let_go() -> None:
    fleet = world(count=20, view=changed(changed(big(20), "n7", ready=False), "n8", ready=False))
    one = many(1)[1]
    fleet.tick(101, *one)
    refused = fleet.decisions[-1].verdict
    fleet.view = changed(fleet.view, "n7", ready=True)
    fleet.run(105, 120)

    assert (refused, fleet.decisions[-1].verdict, fleet.cordoned()) == (Verdict.REFUSED, Verdict.DO, ["n1"])


def test_two_incidents_on_one_node_do_not_act_at_the_same_time() -> None:
    known = inventory()
    second = Subject("c", SubjectKind.GPU, "GPU-4")
    known.facts[second] = SubjectFacts(second, "GPU 4", NODE, {"index": "4"})
    fleet = World(policy(CORDON), cluster(), known, obeys=False)
    hot = finding(
        FindingKind.THERMAL_THROTTLE, evidence("nvml"), subject=second, related=(NODE,), names={"node": "a", "gpu": "4"}
    )
    fleet.tick(101, ecc("nvml", "kernel_log"))
    fleet.tick(102, hot)
    one, other = fleet.decisions

    assert (one.verdict, other.verdict) == (Verdict.DO, Verdict.REFUSED)
    assert f"plan {one.plan.id} of {one.incident} is under way there" in other.reason


def test_a_plan_under_way_is_not_made_anew_by_its_own_steps() -> None:
    fleet = World(policy("[notify, cordon, restart_job]"), cluster(), inventory(), obeys=False)
    (decision,) = fleet.tick(101, ecc("nvml", "kernel_log"), crash())
    fleet.view = changed(fleet.view, "a", unschedulable=True, held_by="watchstander")
    fleet.view.done.append(Taken(102 * SECOND, "cordon", "uid-a", decision.incident, "ecc_uncorrectable"))
    fleet.view.all_pods.clear()

    assert fleet.run(103, 300) == []
    assert fleet.engine.stands(decision.plan) == ""


def test_when_a_plan_has_ended_what_is_still_wanted_is_decided() -> None:
    fleet = World(policy("[notify, cordon, restart_job]"), cluster(), inventory())
    fleet.tick(101, ecc("nvml", "kernel_log"))
    fleet.tick(111, crash())
    fleet.run(115, 125)
    plans = [[s.words for s in d.plan.steps] for d in fleet.decisions if d.plan is not None]

    assert plans == [["cordon node a"], ["restart Job train/b, 2 pods"]]


def test_a_plan_that_failed_is_not_tried_again_by_itself() -> None:
    fleet = World(policy(CORDON), cluster(), inventory(), obeys=False)
    (first,) = fleet.tick(101, ecc("nvml", "kernel_log"))
    fleet.engine.plan_ended(first.plan.id, failed_because="a webhook says no")
    fleet.run(105, 300)

    assert fleet.verdicts() == ["do", "refused"]
    assert "the same plan failed before: a webhook says no" in fleet.decisions[-1].reason


def test_a_plan_that_ended_without_a_trace_holds_up_nobody_and_is_not_decided_again() -> None:
    # its one step had nothing to do: the node was closed already, so that the view shows nothing taken
    fleet = World(policy(CORDON), cluster(), inventory(), obeys=False)
    (first,) = fleet.tick(101, ecc("nvml", "kernel_log"))
    fleet.engine.plan_ended(first.plan.id)
    made = fleet.run(105, 400)
    known = inventory()
    second = Subject("c", SubjectKind.GPU, "GPU-4")
    known.facts[second] = SubjectFacts(second, "GPU 4", NODE, {"index": "4"})
    fleet.known = known
    hot = finding(
        FindingKind.THERMAL_THROTTLE,
        evidence("nvml", 401),
        since=401,
        subject=second,
        related=(NODE,),
        names={"node": "a", "gpu": "4"},
    )
    (other,) = fleet.tick(402, hot)

    assert made == []
    assert other.verdict is Verdict.DO, other.reason


def test_a_person_is_asked_anew_when_the_plan_changes() -> None:
    fleet = World(policy("[cordon, evict]"), cluster(), inventory(), Mode.APPROVE)
    fleet.tick(101, ecc("nvml", "kernel_log"))
    fleet.view.all_pods.append(pod("late", "a", None, gpus=1))
    fleet.run(105, 140)
    one, other = fleet.decisions

    assert (one.verdict, other.verdict) == (Verdict.ASK, Verdict.ASK)
    assert one.plan.digest != other.plan.digest
    assert "has taken its place" in fleet.engine.stands(one.plan)


def test_an_ask_stands_though_the_evidence_grows_old_while_a_person_thinks() -> None:
    fleet = World(policy(CORDON), cluster(), inventory(), Mode.APPROVE)
    fleet.tick(101, ecc("nvml", "kernel_log"))
    fleet.run(105, 3000, 30)

    assert fleet.verdicts() == ["ask"]


def test_before_a_step_the_guards_see_the_cluster_as_it_is_then() -> None:
    from policies.guards import judge_all

    fleet = World(policy(CORDON), cluster(), inventory(), obeys=False)
    (decision,) = fleet.tick(101, ecc("nvml", "kernel_log"))
    fleet.view = changed(fleet.view, "a", held_by="nvsentinel")
    fleet.tick(102)
    context = fleet.engine.context_for(decision.plan, 102 * SECOND)

    assert context is not None
    assert [word.guard for word in judge_all(context) if not word.allows] == ["G19"]


def test_a_plan_of_an_incident_that_nobody_knows_is_not_judged() -> None:
    fleet = World(policy(CORDON), cluster(), inventory(), obeys=False)
    (decision,) = fleet.tick(101, ecc("nvml", "kernel_log"))

    assert PolicyEngine((), view=cluster).context_for(decision.plan, 102 * SECOND) is None


def test_another_policy_is_held_to_at_once() -> None:
    fleet = World(policy(CORDON), cluster(), inventory(), Mode.APPROVE)
    fleet.tick(101, ecc("nvml", "kernel_log"))
    fleet.engine.adopt(parse_policy(b"version: 1\nrules: []\n", "p"))
    fleet.tick(103)

    assert fleet.verdicts() == ["ask", "nothing"]


def test_a_restart_goes_on_with_what_was_decided() -> None:
    before = World(policy(CORDON), cluster(), inventory(), obeys=False)
    (decision,) = before.tick(101, ecc("nvml", "kernel_log"))
    after = World(policy(CORDON), cluster(), inventory(), obeys=False)
    after.engine.restore([decision])
    after.incidents, after.findings = before.incidents, before.findings
    after.engine.again(after.incidents)

    assert after.run(105, 200) == []
    assert after.engine.context_for(decision.plan, 106 * SECOND) is not None


# What is taken back


def healed(**rule) -> World:
    fleet = World(policy(CORDON, undo_when_resolved="true", healthy_seconds=600, **rule), cluster(), inventory())
    fleet.tick(101, ecc("nvml", "kernel_log"))
    fleet.tick(200, ecc("nvml", "kernel_log", cleared=200))
    fleet.run(205, 300)
    return fleet


def test_what_was_cordoned_is_uncordoned_once_the_incident_stays_resolved() -> None:
    fleet = healed()
    before = fleet.cordoned()
    resolved = next(i.resolved_ns for i in fleet.incidents.values())
    fleet.run(305, resolved / SECOND + 590)
    early = fleet.cordoned()
    fleet.run(resolved / SECOND + 600, resolved / SECOND + 700)

    assert (before, early, fleet.cordoned()) == (["a"], ["a"], [])
    undo = fleet.decisions[-1]
    assert (undo.verdict, [s.words for s in undo.plan.steps]) == (Verdict.DO, ["uncordon node a"])
    assert undo.plan.undoes == fleet.decisions[0].plan.id


def test_a_cordon_of_somebody_else_is_never_taken_back() -> None:
    fleet = healed()
    fleet.view = changed(fleet.view, "a", annotations={}, held_by="person")
    fleet.run(305, 2000, 30)

    assert fleet.cordoned() == ["a"]


def test_nothing_is_taken_back_where_the_rule_does_not_say_so() -> None:
    fleet = World(policy(CORDON), cluster(), inventory())
    fleet.tick(101, ecc("nvml", "kernel_log"))
    fleet.tick(200, ecc("nvml", "kernel_log", cleared=200))
    fleet.run(205, 4000, 30)

    assert fleet.cordoned() == ["a"]


def test_a_node_stays_closed_while_another_open_incident_is_about_it() -> None:
    fleet = healed()
    second = Subject("c", SubjectKind.GPU, "GPU-4")
    fleet.known.facts[second] = SubjectFacts(second, "GPU 4", NODE, {"index": "4"})
    late = finding(
        FindingKind.THERMAL_THROTTLE,
        evidence("nvml", 310),
        since=310,
        subject=second,
        related=(NODE,),
        names={"node": "a", "gpu": "4"},
    )
    fleet.tick(311, late)
    fleet.run(315, 2500, 30)

    assert fleet.cordoned() == ["a"]


def test_a_root_found_late_elsewhere_has_the_first_step_proposed_for_taking_back() -> None:
    fleet = World(policy(CORDON), cluster(), inventory())
    fleet.tick(101, ecc("nvml", "kernel_log"))
    (incident,) = fleet.incidents.values()
    other = Subject("c", SubjectKind.NODE, "uid-n1")
    card = Subject("c", SubjectKind.GPU, "GPU-n1")
    fleet.known.facts[other] = SubjectFacts(other, "n1")
    fleet.known.facts[card] = SubjectFacts(card, "GPU 0", other, {"index": "0"})
    root = finding(
        FindingKind.ECC_UNCORRECTABLE,
        evidence("nvml", 95),
        evidence("kernel_log", 95),
        since=95,
        subject=card,
        related=(other, JOB),
        names={"node": "n1", "gpu": "0"},
    )
    moved = msgspec.structs.replace(
        incident, root=root.id, findings=(root.id, *incident.findings), subject=card, names=root.names,
        kinds=(root.kind, *incident.kinds),
    )  # fmt: skip
    held = [root, *fleet.findings.values()]
    anew = fleet.engine.decide(moved, held, fleet.known, 120 * SECOND)
    fleet.shown = Indexed(fleet.view)
    (undo,) = fleet.engine.undo_due(121 * SECOND)

    assert ([s.words for s in anew.plan.steps], anew.verdict) == (["cordon node n1"], Verdict.DO)
    assert ([s.words for s in undo.plan.steps], undo.verdict) == (["uncordon node a"], Verdict.ASK)
    assert "the root was found elsewhere since" in undo.reason
    assert undo.plan.undoes == fleet.decisions[0].plan.id


def test_in_audit_what_would_be_taken_back_was_never_done_and_nothing_is_said() -> None:
    fleet = World(policy(CORDON, undo_when_resolved="true", healthy_seconds=0), cluster(), inventory(), Mode.AUDIT)
    fleet.tick(101, ecc("nvml", "kernel_log"))
    fleet.tick(200, ecc("nvml", "kernel_log", cleared=200))
    fleet.run(205, 400)

    assert fleet.verdicts() == ["would_do", "nothing"]


@settings(max_examples=40, deadline=None)
@given(
    out=st.lists(st.integers(2, 19), unique=True, max_size=18),
    more=st.lists(st.integers(2, 19), unique=True, max_size=18),
    hit=st.integers(1, 4),
)
def test_more_nodes_out_of_service_never_turn_a_no_into_a_yes(out, more, hit) -> None:
    def words(down):
        view = big(20)
        for index in down:
            view = changed(view, f"n{index}", ready=False)
        fleet = world("  unavailable: {fleet: {share: 0.3}}\n", count=20, view=view, obeys=False)
        (decision,) = fleet.tick(101, *many(1)[1])
        return {said.guard: said.allows for said in decision.guards}

    few, many_ = words(out), words(sorted({*out, *more}))

    assert [guard for guard in few if not few[guard] and many_[guard]] == []


def test_a_condition_that_runs_away_costs_its_rule_and_nothing_else() -> None:
    away = (
        "'"
        + "x" * 3000
        + "'.matches('(x+x+)+y') || ["
        + ",".join(["1"] * 60)
        + "].all(a, ["
        + ",".join(["1"] * 60)
        + "].all(b, [1,1,1,1,1,1].all(c, a + b + c > 0)))"
    )
    text = (
        "version: 1\nrules:\n"
        f'  - {{name: away, description: d, actions: [cordon], when: "{away}"}}\n'
        "  - {name: next, description: d, actions: [notify]}\n"
    )
    fleet = World(parse_policy(text.encode(), "p"), cluster(), inventory())
    (decision,) = fleet.tick(101, ecc("nvml", "kernel_log"))

    assert decision.rule == "next"
    assert "rule away could not be judged and counts as no" in decision.reason


def test_rules_of_a_higher_priority_are_asked_first() -> None:
    text = (
        "version: 1\nrules:\n"
        "  - {name: low, description: d, actions: [notify]}\n"
        "  - {name: high, description: d, actions: [cordon], priority: 5}\n"
    )
    fleet = World(parse_policy(text.encode(), "p"), cluster(), inventory())

    assert fleet.tick(101, ecc("nvml", "kernel_log"))[0].rule == "high"


@pytest.mark.parametrize(
    "when",
    [
        'node.labels["team"] == "blue"',
        'node.pool == "h200" && node.rack == "r0" && node.gpus == 8',
        "node.ready && !node.cordoned && node.held_by == ''",
        'job.namespace == "train" && job.kind == "Job" && job.pods == 2 && job.gpus == 16',
        'job.labels["app"] == "llm"',
        "job.interrupted && attempts == 1",
        "incident.nodes == 1 && !incident.wave && incident.reopened == 0",
    ],
)
def test_conditions_know_the_cluster(when) -> None:
    view = changed(cluster(), "a", labels={"team": "blue"})
    view.all_pods[:] = [pod("b-0", "a", labels={"app": "llm"}), pod("b-1", "n1")]
    view.done.append(Taken(1, "cordon", "uid-a", "INC-X", "ecc_uncorrectable"))
    text = f"version: 1\nrules:\n  - {{name: only, description: d, actions: [notify], when: '{when}'}}\n"
    if "'" in when:
        text = f"version: 1\nrules:\n  - name: only\n    description: d\n    actions: [notify]\n    when: {when}\n"
    fleet = World(parse_policy(text.encode(), "p"), view, inventory())
    (decision,) = fleet.tick(101, ecc("nvml", "kernel_log"), crash())

    assert decision.rule == "only", decision.reason


def test_the_cases_stand_on_the_same_cluster() -> None:
    assert (len(nodes()), GPU.id) == (20, "GPU-3")
