"""Plans: which steps, in which order, and why some of what a rule asks for is not among them."""

import msgspec
import pytest
from cluster_cases import AGENT, GANG, NODE, SERVING, changed, cluster, nodes, pod, policy
from hypothesis import given
from hypothesis import strategies as st
from policy_cases import GPU, SECOND, crash, ecc, incident, inventory

from collectors.model import SubjectFacts
from policies.cluster_view import LaidOutCluster, NodeView, Owner, Taken
from policies.engine import PolicyEngine
from policies.model import ActionKind, Mode, Verdict
from policies.plan import StepKind
from policies.planner import GANGS

ALL = "[notify, cordon, taint, label, condition, evict, restart_job, reset_gpu, reboot_node]"
HIT = incident(ecc("nvml", "kernel_log"), crash())
INCIDENT = HIT.id


def decided(actions: str, view: LaidOutCluster | None = None, *findings, held=None, now: float = 140, **rule):
    by = policy(actions, **rule)
    view = view or cluster()
    engine = PolicyEngine(by.rules, Mode.ENFORCE, guards=by.guards, view=lambda: view)
    findings = findings or (ecc("nvml", "kernel_log"), crash())
    return engine.decide(incident(*findings), findings, held or inventory(), int(now * SECOND))


def words(decision) -> list[str]:
    return [step.words for step in decision.plan.steps]


def holding(pod_name: str):
    """The inventory where the faulty card is held by a pod."""
    known = inventory()
    facts = known.facts[GPU]
    known.facts[GPU] = SubjectFacts(GPU, facts.name, NODE, {**facts.attributes, "pod_uid": f"uid-{pod_name}"})
    return known


def done(what: str, ago: float = 2000, node: str = "uid-a", by: str = "INC-OTHER", **more) -> Taken:
    return Taken(int((140 - ago) * SECOND), what, node, by, "ecc_uncorrectable", **more)


def test_the_node_is_closed_and_marked_before_work_moves_and_mended_last() -> None:
    view = cluster(all_pods=[pod("b-0", "a"), pod("b-1", "n1"), pod("web", "a", SERVING, gpus=1, namespace="shop")])

    assert words(decided(ALL, view)) == [
        "cordon node a",
        "taint node a watchstander.io/fault=ecc-uncorrectable:NoSchedule",
        "label node a watchstander.io/fault=ecc-uncorrectable",
        "set condition WatchstanderFault on node a",
        "restart Job train/b, 2 pods",
        "evict 1 pod from node a",
        "have GPU 3 of node a reset",
    ]


def test_every_step_that_can_be_taken_back_is_in_the_undo_in_reverse() -> None:
    plan = decided("[notify, cordon, taint, label, condition, restart_job]").plan

    assert [step.kind for step in plan.undo] == [
        StepKind.CLEAR_CONDITION,
        StepKind.UNLABEL,
        StepKind.UNTAINT,
        StepKind.UNCORDON,
    ]


def test_the_blast_counts_what_leaves_service_and_what_is_interrupted() -> None:
    plan = decided("[cordon, restart_job]").plan

    assert (plan.blast.nodes, plan.blast.pods, plan.blast.jobs, plan.blast.gpus, plan.blast.ranks) == (1, 2, 1, 16, 16)
    assert plan.blast.names == ("node a", "job b", "pod train/b-0", "pod train/b-1")


def test_targets_go_by_uid() -> None:
    cordon, restart = decided("[cordon, restart_job]").plan.steps

    assert (cordon.target.uid, restart.target.uid, restart.target.api_version) == ("uid-a", "uid-b", "batch/v1")


def test_a_node_made_anew_under_the_same_name_is_another_one() -> None:
    view = cluster(all_nodes=[NodeView("a", "uid-a2", gpus=8), *nodes()[1:]])
    decision = decided("[notify, cordon]", view)

    assert decision.plan is None
    assert "node a (uid uid-a) is not in the cluster" in decision.reason


def test_p1_a_running_job_that_can_save_is_asked_to_before_it_moves() -> None:
    view = cluster(
        all_pods=[pod("b-0", "a", annotations={"watchstander.io/checkpoint": "annotation"}), pod("b-1", "n1")]
    )
    decision = decided("[cordon, evict, restart_job]", view, ecc("nvml", "kernel_log"))

    assert words(decision) == ["cordon node a", "ask Job train/b to save", "restart Job train/b, 2 pods"]
    assert decision.plan.steps[1].arguments == {"how": "annotation", "deadline_seconds": "600"}


def test_p1_a_job_that_crashed_has_nothing_left_to_save() -> None:
    view = cluster(
        all_pods=[pod("b-0", "a", annotations={"watchstander.io/checkpoint": "annotation"}), pod("b-1", "n1")]
    )

    assert words(decided("[cordon, restart_job]", view)) == ["cordon node a", "restart Job train/b, 2 pods"]


def test_p2_a_gang_moves_whole_and_none_of_its_pods_is_evicted_singly() -> None:
    other = Owner("jobset.x-k8s.io/v1alpha2", "JobSet", "c", "uid-c")
    pods = [pod("b-0", "a", gpus=4), pod("b-1", "n1"), pod("c-0", "a", other, gpus=4), pod("c-1", "n2", other)]
    plan = decided("[cordon, evict, restart_job]", cluster(all_pods=pods)).plan

    assert [step.words for step in plan.steps] == [
        "cordon node a",
        "restart Job train/b, 2 pods",
        "restart JobSet train/c, 2 pods",
    ]


def test_pods_that_their_owner_makes_anew_singly_are_evicted() -> None:
    view = cluster(all_pods=[pod("b-0", "a", SERVING)])
    decision = decided("[cordon, evict, restart_job]", view, ecc("nvml", "kernel_log"))

    assert words(decision) == ["cordon node a", "evict 1 pod from node a"]


@pytest.mark.parametrize(
    ("leaves", "held"),
    [
        pytest.param({"owner": AGENT}, "a DaemonSet's", id="a DaemonSet"),
        pytest.param({"owner": None, "mirror": True}, "static", id="a static pod"),
        pytest.param({"owner": SERVING, "phase": "Succeeded"}, "over", id="one that has ended"),
    ],
)
def test_a_drain_leaves_what_must_stay(leaves, held) -> None:
    leaves = dict(leaves)
    view = cluster(all_pods=[pod("x", "a", leaves.pop("owner"), **leaves)])

    assert words(decided("[cordon, evict]", view)) == ["cordon node a"], held


def test_a_reset_empties_only_the_card_where_its_pod_is_known() -> None:
    pods = [pod("one", "a", SERVING, gpus=1), pod("two", "a", SERVING, gpus=1)]
    (_, evict, reset) = decided("[reset_gpu]", cluster(all_pods=pods), held=holding("one")).plan.steps

    assert evict.arguments == {"pods": "uid-one", "deadline_seconds": "1800"}
    assert reset.arguments == {"gpu": "GPU-3", "index": "3"}


def test_a_reset_empties_all_cards_where_it_is_not_known_who_holds_which() -> None:
    pods = [pod("one", "a", SERVING, gpus=1), pod("two", "a", SERVING, gpus=1), pod("cpu", "a", SERVING, gpus=0)]
    (_, evict, _) = decided("[reset_gpu]", cluster(all_pods=pods)).plan.steps

    assert evict.arguments["pods"] == "uid-one,uid-two"


def test_a_reboot_empties_the_whole_node_and_names_the_boot_that_it_ends() -> None:
    pods = [pod("one", "a", SERVING, gpus=1), pod("cpu", "a", SERVING, gpus=0), pod("exporter", "a", AGENT, gpus=0)]
    view = changed(cluster(all_pods=pods), "a", boot_id="boot-1")
    (_, evict, reboot) = decided("[reboot_node]", view).plan.steps

    assert evict.arguments["pods"] == "uid-cpu,uid-one"
    assert reboot.arguments == {"boot_id": "boot-1"}


@pytest.mark.parametrize(
    ("before", "last"),
    [
        pytest.param([], "have GPU 3 of node a reset", id="first a reset"),
        pytest.param([done("reset_gpu")], "have node a rebooted", id="then a reboot"),
        pytest.param(
            [done("reset_gpu", 3000), done("reboot_node")],
            "label node a watchstander.io/repair=needed",
            id="then repair",
        ),
        pytest.param([done("reset_gpu", 8 * 86_400)], "have GPU 3 of node a reset", id="what is long ago is forgotten"),
    ],
)
def test_p3_the_ladder_is_climbed_a_rung_at_a_time(before, last) -> None:
    decision = decided("[cordon, reset_gpu, reboot_node]", cluster(done=before, all_pods=[]))

    assert words(decision)[-1] == last


def test_p3_the_last_remedy_gets_time_to_help() -> None:
    decision = decided("[notify, reset_gpu, reboot_node]", cluster(done=[done("reset_gpu", 60)]))

    assert decision.plan is None
    assert "waits 900 s to see whether the last reset gpu helped" in decision.reason


def test_what_this_incident_has_had_done_is_not_done_again() -> None:
    before = [done("cordon", 20, by=INCIDENT), done("restart_job", 5, node="", job="uid-b", by=INCIDENT)]
    decision = decided("[notify, cordon, restart_job]", cluster(done=before))

    assert (decision.plan, [a.kind for a in decision.actions]) == (None, [ActionKind.NOTIFY])
    assert "cordon of node a is done" in decision.reason
    assert "b was restarted since it was interrupted" in decision.reason


def test_a_job_that_crashed_again_after_its_restart_is_restarted_again() -> None:
    before = [done("cordon", 20, by=INCIDENT), done("restart_job", 60, node="", job="uid-b", by=INCIDENT)]
    decision = decided("[cordon, restart_job]", cluster(done=before))

    assert words(decision) == ["restart Job train/b, 2 pods"]


def test_a_job_that_makes_steps_again_by_itself_is_not_restarted() -> None:
    decision = decided("[notify, cordon, restart_job]", cluster(), ecc("nvml", "kernel_log"), crash(cleared=130))

    assert words(decision) == ["cordon node a"]
    assert "job b makes steps again" in decision.reason


def test_a_job_is_found_by_the_pod_that_holds_the_card_where_its_uid_is_unknown() -> None:
    owner = Owner("batch/v1", "Job", "llama-worker", "uid-other")
    view = cluster(all_pods=[pod("w-0", "a", owner), pod("w-1", "n1", owner)])

    assert words(decided("[restart_job]", view, held=holding("w-0"))) == ["restart Job train/llama-worker, 2 pods"]


def test_a_job_that_the_cluster_does_not_know_is_not_guessed() -> None:
    decision = decided("[notify, restart_job]", cluster(all_pods=[]))

    assert decision.plan is None
    assert "cannot restart job: the cluster has no pods of job b" in decision.reason


def test_a_gang_of_a_kind_that_nobody_can_restart_is_left_and_said() -> None:
    by = policy("[notify, cordon, restart_job]")
    engine = PolicyEngine(
        by.rules, Mode.ENFORCE, guards=by.guards, view=cluster, can_restart=lambda target: f"{target.kind} is not known"
    )
    decision = engine.decide(HIT, (ecc("nvml", "kernel_log"), crash()), inventory(), 140 * SECOND)

    assert words(decision) == ["cordon node a"]
    assert "cannot restart job: Job is not known" in decision.reason


def test_the_digest_names_incident_steps_and_uids_and_no_words() -> None:
    one = decided("[cordon]").plan
    later = decided("[cordon]", now=500).plan
    other = decided("[cordon]", cluster(all_nodes=[msgspec.structs.replace(n) for n in nodes(5)])).plan

    assert one.digest == later.digest == other.digest
    assert one.digest != decided("[cordon, label]").plan.digest


ACTIONS = st.lists(st.sampled_from([kind.value for kind in ActionKind]), unique=True, min_size=1)
PODS = st.lists(
    st.tuples(st.sampled_from(["a", "n1", "n2"]), st.sampled_from([GANG, SERVING, AGENT, None]), st.integers(0, 8)),
    max_size=8,
)


@given(actions=ACTIONS, pods=PODS, shuffle=st.randoms(use_true_random=False))
def test_the_digest_is_the_same_however_the_view_lists_things(actions, pods, shuffle) -> None:
    view = cluster(all_pods=[pod(f"p{i}", on, owner, gpus=gpus) for i, (on, owner, gpus) in enumerate(pods)])
    other = msgspec.structs.replace(view, all_nodes=[*view.all_nodes], all_pods=[*view.all_pods])
    shuffle.shuffle(other.all_nodes)
    shuffle.shuffle(other.all_pods)
    shown = [decided(f"[{', '.join(actions)}]", one).plan for one in (view, other)]

    assert len({plan.digest if plan else "" for plan in shown}) == 1


@given(actions=ACTIONS, pods=PODS)
def test_no_plan_evicts_without_a_cordon_before_and_no_gang_is_torn(actions, pods) -> None:
    view = cluster(all_pods=[pod(f"p{i}", on, owner, gpus=gpus) for i, (on, owner, gpus) in enumerate(pods)])
    decision = decided(f"[{', '.join(actions)}]", view)
    steps = decision.plan.steps if decision.plan is not None else ()
    closed: set[str] = set()
    restarted = {step.target.uid for step in steps if step.kind is StepKind.RESTART_JOB}
    by_uid = {one.uid: one for one in view.all_pods}
    for step in steps:
        if step.kind is StepKind.CORDON:
            closed.add(step.target.uid)
        if step.kind in (StepKind.EVICT, StepKind.RESET_GPU, StepKind.REBOOT_NODE):
            assert step.target.uid in closed
        if step.kind is StepKind.EVICT:
            evicted = [by_uid[uid] for uid in step.arguments["pods"].split(",")]
            assert not {one.owner.uid for one in evicted if one.owner} & restarted
            assert "restart_job" not in actions or not any(o.owner and o.owner.kind in GANGS for o in evicted)
    assert decision.verdict in (Verdict.DO, Verdict.REFUSED, Verdict.NOTHING)
