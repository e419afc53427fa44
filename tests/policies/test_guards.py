"""Each guard: what makes it say no, with which figures, and that it says yes otherwise."""

from dataclasses import replace

import msgspec
import pytest
from cluster_cases import AGENT, SERVING, changed, cluster, nodes, pod, policy
from policy_cases import NODE, SECOND, crash, ecc, finding, incident, inventory, xid

from collectors.model import Origin
from detectors.model import FindingKind, IncidentState
from policies.around import Around, Crowd, Pending
from policies.cluster_view import BudgetView, LaidOutCluster, Place, Taken
from policies.facts import gather
from policies.guards import GUARDS, GuardContext, judge_all
from policies.model import Mode
from policies.plan import Blast, Plan, Step, StepKind, Target, make_plan

NOW = 140 * SECOND
JOB = Target("batch/v1", "Job", "train", "b", "uid-b")


def of_node(kind: StepKind, name: str = "a", **arguments: str) -> Step:
    return Step(kind, Target("v1", "Node", "", name, f"uid-{name}"), arguments, f"{kind.value} {name}")


CORDON = of_node(StepKind.CORDON)
RESTART = Step(StepKind.RESTART_JOB, JOB)
EVICT = of_node(StepKind.EVICT, pods="uid-b-0,uid-web,uid-exporter")


def plan(*steps: Step, undoes: str = "", made: float = 140) -> Plan:
    return make_plan("INC-1", "DEC-1", "only", steps, Blast(), int(made * SECOND), undoes=undoes)


def context(*steps: Step, view: LaidOutCluster | None = None, guards: str = "", findings=None, **more) -> GuardContext:
    by = policy(guards=guards)
    findings = findings or (ecc("nvml", "kernel_log"), crash())
    facts = gather(incident(*findings), findings, inventory(), NOW)
    held = {
        "facts": facts,
        "rule": by.rules[0].rule,
        "mode": Mode.ENFORCE,
        "now_ns": NOW,
        "settings": by.guards,
        "view": view or cluster(),
        "plan": plan(*(steps or (CORDON, RESTART))),
    }
    return GuardContext(**{**held, **more})


def word(guard: str, *steps: Step, **more):
    return GUARDS[guard].judge(context(*steps, **more))


def taken(what: str, ago: float, **more) -> Taken:
    return Taken(NOW - int(ago * SECOND), what, **{"incident": "INC-OTHER", "root_kind": "ecc_uncorrectable", **more})


def with_taken(*done: Taken, **more) -> LaidOutCluster:
    return cluster(done=list(done), **more)


def busy(**more) -> LaidOutCluster:
    """b-0, a web server and a DaemonSet's pod on node a."""
    web = pod("web", "a", SERVING, gpus=0, namespace="shop", labels={"app": "web", "tier": "front"}, **more)
    return cluster(all_pods=[pod("b-0", "a"), pod("b-1", "n1"), web, pod("exporter", "a", AGENT, gpus=0)])


def test_a_sound_plan_in_a_sound_cluster_meets_no_guard() -> None:
    assert [said for said in judge_all(context()) if not said.allows] == []


def test_guards_speak_in_the_order_of_their_numbers_and_each_with_a_reason() -> None:
    words = judge_all(context(view=None))

    assert [said.guard for said in words] == [f"G{number}" for number in range(1, 23)]
    assert all(said.reason and "\n" not in said.reason for said in words)


def test_without_a_view_every_guard_that_needs_one_says_no() -> None:
    words = judge_all(replace(context(), view=None))

    assert {said.guard for said in words if not said.allows} == {id_ for id_, one in GUARDS.items() if one.needs_view}
    assert words[5].reason == "nothing is known of the cluster: the agent has no view of it"


REFUSALS = [
    pytest.param("G1", {"mode": Mode.AUDIT}, "the agent's mode is audit", id="G1 audit"),
    pytest.param("G1", {"mode": Mode.APPROVE}, "a person has to say yes", id="G1 approve"),
    pytest.param(
        "G2", {"findings": (ecc("nvml", origin=Origin.REPLAY),)}, "the data are a replay, not live", id="G2 replay"
    ),
    pytest.param(
        "G3",
        {"view": changed(cluster(), "a", labels={"watchstander.io/managed": "false"})},
        "opted out by watchstander.io/managed=false: node a",
        id="G3 node",
    ),
    pytest.param(
        "G3",
        {"view": cluster(namespaces={"train": {"watchstander.io/managed": "False"}})},
        "namespace train",
        id="G3 namespace",
    ),
    pytest.param(
        "G3",
        {"view": cluster(all_pods=[pod("b-0", "a", annotations={"watchstander.io/managed": "false"})])},
        "pod train/b-0",
        id="G3 pod",
    ),
    pytest.param(
        "G4",
        {"view": cluster(all_pods=[pod("b-0", "a", namespace="kube-system")])},
        "namespace kube-system is denied (kube-*)",
        id="G4 denied",
    ),
    pytest.param(
        "G4",
        {"guards": "  namespaces: {allowed: [team-*]}\n"},
        "namespace train is not among those allowed (team-*)",
        id="G4 not allowed",
    ),
    pytest.param(
        "G5",
        {"view": cluster(all_pods=[pod("b-0", "a", labels={"watchstander.io/protected": "true"})])},
        "pod train/b-0 is protected by watchstander.io/protected=true",
        id="G5 label",
    ),
    pytest.param(
        "G5",
        {"view": cluster(all_pods=[pod("b-0", "a", annotations={"karpenter.sh/do-not-disrupt": "true"})])},
        "karpenter.sh/do-not-disrupt=true",
        id="G5 another tool's annotation",
    ),
    pytest.param(
        "G5",
        {"view": cluster(all_pods=[pod("b-0", "a", priority=2_000_000_001)])},
        "has priority 2000000001, 2000000000 or more is protected",
        id="G5 priority",
    ),
    pytest.param(
        "G6",
        {"view": changed(changed(cluster(), "n7", ready=False), "n8", unschedulable=True, held_by="person")},
        "2 of 20 nodes of the fleet are unavailable, 1 more would be 3, at most 2 may be",
        id="G6 nodes out by others",
    ),
    pytest.param(
        "G6",
        {"around": Around((Pending("PLN-X", "INC-X", "xid", ("uid-n7", "uid-n8"), ()),))},
        "0 of 20 nodes of the fleet are unavailable, 2 are about to be, 1 more would be 3, at most 2 may be",
        id="G6 nodes about to go out",
    ),
    pytest.param(
        "G7",
        {
            "view": changed(cluster(), "n5", ready=False),
            "guards": "  unavailable: {rack: {count: 1}, fleet: {share: 0.9}}\n",
        },
        "1 of 4 nodes of rack r0 are unavailable, 1 more would be 2, at most 1 may be",
        id="G7 rack",
    ),
    pytest.param(
        "G7",
        {"view": changed(cluster(), "n7", ready=False), "guards": "  unavailable: {pool: {share: 0.05}}\n"},
        "1 of 20 nodes of pool h200 are unavailable, 1 more would be 2, at most 1 may be",
        id="G7 pool",
    ),
    pytest.param(
        "G7",
        {
            "view": changed(changed(changed(cluster(), "a", rack=""), "n7", ready=False), "n8", ready=False),
            "guards": "  unavailable: {pool: {share: 0.9}}\n",
        },
        "1 of unknown rack count against the fleet: 2 of 20 nodes of the fleet",
        id="G7 unknown rack",
    ),
    pytest.param(
        "G8",
        {"view": cluster(all_nodes=nodes(2), all_pods=[pod("b-0", "a"), pod("b-1", "n1")])},
        "8 GPUs would move, 0 are free in pool h200",
        id="G8 nothing free",
    ),
    pytest.param(
        "G8",
        {"guards": "  capacity: {spare_gpus: 140}\n"},
        "8 GPUs would move, 144 are free in pool h200, 140 must stay so",
        id="G8 a reserve",
    ),
    pytest.param(
        "G9",
        {
            "view": with_taken(*(taken("cordon", 60, node=f"uid-n{n}") for n in (5, 6))),
            "guards": "  rate: {acts: 3, seconds: 600}\n",
        },
        "2 nodes and jobs acted on within 10 min, 2 more would be 4, at most 3 may be",
        id="G9",
    ),
    pytest.param(
        "G10",
        {"around": Around((Pending("PLN-X", "INC-X", "xid", ("uid-a",), ()),))},
        "plan PLN-X of INC-X is under way there",
        id="G10 another plan",
    ),
    pytest.param(
        "G10",
        {"view": with_taken(taken("reset_gpu", 60, node="uid-a"))},
        "reset_gpu 60 s ago, it cools down for 15 min",
        id="G10 cool-down",
    ),
    pytest.param(
        "G10",
        {"view": with_taken(taken("restart_job", 300, job="uid-b"))},
        "restart_job 5 min ago, it cools down for 15 min",
        id="G10 cool-down of a job",
    ),
    pytest.param(
        "G12",
        {"guards": "  windows: [{name: upgrade, start: 1970-01-01T00:01:00Z, end: 1970-01-01T00:03:00Z}]\n"},
        "maintenance window 'upgrade' is open for node a",
        id="G12 once",
    ),
    pytest.param(
        "G12",
        {"guards": "  windows: [{name: nights, from: '23:00', to: '01:00', racks: [r0]}]\n"},
        "maintenance window 'nights' is open for node a",
        id="G12 every night, by rack",
    ),
    pytest.param(
        "G13",
        {"around": Around((), (Crowd(Place.RACK, "r0", 3, 100 * SECOND, 120 * SECOND),))},
        "3 nodes of rack r0 within 20 s: suspect its power feed or its cooling; lets go in 10 min",
        id="G13 a rack",
    ),
    pytest.param(
        "G13",
        {"around": Around((), (Crowd(Place.FLEET, "", 5, 100 * SECOND, 120 * SECOND),))},
        "5 nodes of the fleet within 20 s: suspect an upgrade, the facility, or the detector",
        id="G13 the fleet",
    ),
    pytest.param("G14", {"findings": (ecc(),)}, "the root finding shows no evidence", id="G14 none"),
    pytest.param(
        "G14", {"now_ns": 800 * SECOND}, "the newest evidence is 690 s old, at most 600 s count", id="G14 old"
    ),
    pytest.param("G14", {"findings": (ecc("nvml", confidence=0.4),)}, "confidence is 0.40", id="G14 weak"),
    pytest.param(
        "G17",
        {"view": cluster(all_pods=[pod("b-0", "a", created_ns=125 * SECOND), pod("b-1", "n1")])},
        "the owner of Job train/b recovers it: 1 pods were made anew; left to it for 10 min",
        id="G17 made anew",
    ),
    pytest.param(
        "G17", {"view": cluster(all_pods=[pod("b-0", "a", deleting=True)])}, "1 of its 1 pods end", id="G17 ending"
    ),
    pytest.param("G18", {"view": cluster(trouble="the watch of nodes is 90 s behind")}, "90 s behind", id="G18 view"),
    pytest.param(
        "G18",
        {
            "view": cluster(
                all_nodes=[n if i % 2 else msgspec.structs.replace(n, ready=False) for i, n in enumerate(nodes())]
            )
        },
        "10 of 20 nodes are unavailable, 34% and more is unwell",
        id="G18 the fleet is down",
    ),
    pytest.param(
        "G19",
        {"view": with_taken(taken("uncordon_by_person", 3600, node="uid-a", incident=""))},
        "node a: a person uncordoned it 60 min ago",
        id="G19 uncordoned",
    ),
    pytest.param(
        "G19",
        {"view": changed(cluster(), "a", annotations={"watchstander.io/snooze-until": "1970-01-01T01:00:00Z"})},
        "node a: snoozed by watchstander.io/snooze-until for 58 min more",
        id="G19 snoozed",
    ),
    pytest.param(
        "G19",
        {"view": changed(cluster(), "a", annotations={"watchstander.io/snooze-until": "tomorrow"})},
        "cannot be read",
        id="G19 a snooze that cannot be read",
    ),
    pytest.param(
        "G19", {"view": changed(cluster(), "a", held_by="nvsentinel")}, "held by nvsentinel", id="G19 another tool"
    ),
    pytest.param(
        "G19", {"view": changed(cluster(), "a", unschedulable=True)}, "cordoned by someone else", id="G19 cordoned"
    ),
    pytest.param("G20", {"view": cluster(pause="by ann: upgrade")}, "all actions are paused: by ann", id="G20"),
    pytest.param("G21", {"view": cluster(not_leader="agent-1 leads")}, "not the leader: agent-1 leads", id="G21"),
    pytest.param(
        "G22",
        {
            "view": with_taken(
                *(taken("cordon", 86_400 * day, node="uid-a", incident=f"INC-{day}") for day in (3, 2, 1))
            )
        },
        "node a was treated for ecc_uncorrectable 3 times within 168 h",
        id="G22 the node",
    ),
    pytest.param(
        "G22",
        {"view": with_taken(*(taken("restart_job", 3600 * h, job="uid-b") for h in (5, 4, 3, 2, 1)))},
        "job b was restarted for ecc_uncorrectable 5 times within 6 h, at most 5 may be",
        id="G22 the job",
    ),
]


@pytest.mark.parametrize(("guard", "case", "reason"), REFUSALS)
def test_a_guard_says_no_with_its_figures(guard, case, reason) -> None:
    said = word(guard, **case)

    assert not said.allows
    assert reason in said.reason


def test_every_guard_has_been_seen_to_refuse() -> None:
    elsewhere = {"G11", "G15", "G16"}

    assert {case.values[0] for case in REFUSALS} | elsewhere == set(GUARDS)


def test_a_wait_and_too_few_sources_refuse() -> None:
    rule = policy(wait_seconds=60, sources=3).rules[0].rule
    said = {one.guard: one for one in judge_all(context(rule=rule, findings=(ecc("nvml"), crash())))}

    assert (said["G11"].allows, said["G11"].reason) == (False, "the rule waits 60 s, the incident is 40 s old")
    assert (said["G15"].allows, said["G15"].reason) == (False, "3 independent sources needed, seen by NVML")


@pytest.mark.parametrize(
    ("budget", "allows"),
    [
        pytest.param(BudgetView("shop", "web", {"app": "web"}), False, id="allows none"),
        pytest.param(BudgetView("shop", "web", {"app": "web"}, allowed=1), True, id="allows one"),
        pytest.param(BudgetView("shop", "all", {}), False, id="an empty selector takes all in"),
        pytest.param(BudgetView("shop", "other", {"app": "db"}), True, id="of other pods"),
        pytest.param(BudgetView("train", "web", {"app": "web"}), True, id="in another namespace"),
        pytest.param(BudgetView("shop", "e", {}, (("tier", "In", ("front",)),)), False, id="In"),
        pytest.param(BudgetView("shop", "e", {}, (("tier", "NotIn", ("front",)),)), True, id="NotIn"),
        pytest.param(BudgetView("shop", "e", {}, (("gone", "DoesNotExist", ()),)), False, id="DoesNotExist"),
        pytest.param(BudgetView("shop", "e", {}, (("tier", "Exists", ()), ("app", "In", ("db",)))), True, id="both"),
        pytest.param(BudgetView("shop", "e", {}, (("tier", "Gt", ("1",)),)), False, id="an operator of tomorrow"),
    ],
)
def test_a_disruption_budget_is_never_passed_over(budget, allows) -> None:
    view = msgspec.structs.replace(busy(), all_budgets=[budget])
    said = word("G16", CORDON, EVICT, view=view)

    assert said.allows is allows, said.reason


def test_what_is_only_cordoned_moves_nobody() -> None:
    view = msgspec.structs.replace(busy(), all_budgets=[BudgetView("shop", "web", {"app": "web"})])
    said = judge_all(context(CORDON, view=view))

    assert [one.guard for one in said if not one.allows] == []


def test_an_approval_lets_the_mode_go_and_nothing_else() -> None:
    held = context(mode=Mode.APPROVE, approved_by="ann", view=cluster(pause="by bob"))
    said = {one.guard: one for one in judge_all(held)}

    assert (said["G1"].allows, said["G1"].reason) == (True, "the agent's mode is approve, and ann has said yes")
    assert not said["G20"].allows


def test_a_node_that_is_out_already_adds_nothing_to_the_limits() -> None:
    out = {"unschedulable": True, "held_by": "watchstander", "annotations": {"watchstander.io/cordoned-by": "PLN-1"}}
    view = changed(changed(changed(cluster(), "a", **out), "n7", ready=False), "n8", ready=False)
    said = {one.guard: one for one in judge_all(context(CORDON, RESTART, view=view))}

    assert (said["G6"].allows, said["G7"].allows, said["G19"].allows) == (True, True, True)


def test_only_what_is_left_of_a_plan_is_judged() -> None:
    view = changed(cluster(), "a", held_by="nvsentinel")

    assert not word("G19", CORDON, RESTART, view=view).allows
    assert word("G19", CORDON, RESTART, view=view, done=frozenset({0})).allows


def test_the_plans_own_steps_do_not_hold_it_up() -> None:
    own = context().facts.incident.id
    view = with_taken(taken("cordon", 1, node="uid-a", incident=own))
    held = context(view=view, done=frozenset({0}), plan=plan(CORDON, RESTART, made=138))

    assert [one for one in judge_all(held) if not one.allows] == []


def test_the_same_step_again_in_a_new_plan_cools_down_also_for_its_own_incident() -> None:
    own = context().facts.incident.id
    view = with_taken(taken("restart_job", 60, job="uid-b", incident=own))

    assert not word("G10", CORDON, RESTART, view=view).allows


def test_an_undo_is_not_held_up_by_limits_made_for_doing() -> None:
    out = {"unschedulable": True, "held_by": "watchstander", "annotations": {"watchstander.io/cordoned-by": "PLN-1"}}
    view = changed(with_taken(taken("cordon", 60, node="uid-a")), "a", **out)
    for other in ("n2", "n3", "n4"):
        view = changed(view, other, ready=False)
    held = context(view=view, plan=plan(of_node(StepKind.UNCORDON), undoes="PLN-1"), now_ns=900 * SECOND)

    assert [one for one in judge_all(held) if not one.allows] == []


def test_a_snoozed_incident_is_left_alone() -> None:
    facts = context().facts
    snoozed = replace(facts, incident=msgspec.structs.replace(facts.incident, state=IncidentState.SNOOZED))

    assert word("G19", facts=snoozed).reason == "a person has snoozed the incident"


def test_silence_of_the_place_is_no_ground_to_act() -> None:
    silent = finding(FindingKind.TELEMETRY_LOST, since=120, subject=NODE)

    assert "telemetry is missing" in word("G14", findings=(xid(79, "nvml", "kernel_log"), silent)).reason


def test_evidence_that_was_fresh_while_only_a_wait_was_missing_counts_on_for_a_while() -> None:
    late = {"now_ns": 3000 * SECOND, "ripe_ns": 150 * SECOND}

    assert word("G14", **late).allows
    assert not word("G14", **{**late, "ripe_ns": 0}).allows
    assert not word("G14", **late, findings=(ecc("nvml", "kernel_log", cleared=900), crash())).allows


def test_a_gang_that_is_restarted_takes_its_own_gpus_again() -> None:
    view = cluster(all_nodes=nodes(3), all_pods=[pod("b-0", "a"), pod("b-1", "n1")])

    assert word("G8", view=view).reason == "8 GPUs would move, 8 are free in pool h200"


def test_owners_that_have_had_their_time_no_longer_hold_a_restart() -> None:
    view = cluster(all_pods=[pod("b-0", "a", created_ns=125 * SECOND)])

    assert word("G17", view=view, now_ns=800 * SECOND).allows
