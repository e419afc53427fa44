"""The live view, filled by hand: what stands in it, and what is handed out."""

import threading

import pytest
from cluster_objects import NOW_NS, SECOND_NS, Clock, a_budget, a_namespace, a_node, a_pod, live
from hypothesis import given
from hypothesis import strategies as st

from collectors.errors import RetryLater
from policies.cluster_view import (
    OPT_OUT,
    OWN_CORDON,
    SNOOZE,
    BudgetView,
    LaidOutCluster,
    NodeView,
    Owner,
    Place,
    PodView,
    Taken,
)

JOB = Owner("batch/v1", "Job", "train", "uid-train")


def test_a_node_shows_what_guards_need_and_nothing_else() -> None:
    cluster = live()
    labels = {
        "topology.kubernetes.io/rack": "r7",
        "nvidia.com/gpu.clique": "c1.2",
        "karpenter.sh/nodepool": "h200",
        "feature.node.kubernetes.io/cpu-cpuid.AVX": "true",
        OPT_OUT: "false",
    }
    annotations = {SNOOZE: "2027-01-15T09:00:00Z", "csi.volume.kubernetes.io/nodeid": "{}"}
    taint = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
    cluster.put_nodes([a_node(labels=labels, annotations=annotations, taints=[taint])])

    del labels["feature.node.kubernetes.io/cpu-cpuid.AVX"]
    assert list(cluster.nodes()) == [
        NodeView(
            name="n1",
            uid="uid-n1",
            labels=labels,
            annotations={SNOOZE: "2027-01-15T09:00:00Z"},
            taints=("nvidia.com/gpu=present:NoSchedule",),
            gpus=8,
            rack="r7",
            domain="c1.2",
            pool="h200",
            boot_id="boot-n1",
        )
    ]


def test_nodes_without_gpus_are_left_out_but_one_that_had_some_counts_on() -> None:
    cluster = live()
    cluster.put_nodes([a_node("cpu", gpus=0), a_node("gpu")])
    cluster.put_nodes([a_node("gpu", gpus=0)])

    assert [(node.name, node.gpus) for node in cluster.nodes()] == [("gpu", 0)]


def test_a_pod_shows_what_guards_need() -> None:
    cluster = live()
    said = {OPT_OUT: "false", "kubernetes.io/config.mirror": "hash", "acme.com/keep": "yes", "long": "x" * 70}
    pod = a_pod(labels={"app": "x"}, annotations=said)
    cluster.put_pods([pod])

    assert list(cluster.pods_on("n1")) == [
        PodView(
            namespace="ml",
            name="p1",
            uid="uid-p1",
            node="n1",
            owner=JOB,
            labels={"app": "x"},
            annotations={OPT_OUT: "false", "acme.com/keep": "yes", "long": "x" * 64},
            phase="Running",
            gpus=8,
            mirror=True,
            priority=7,
            created_ns=NOW_NS - 3600 * SECOND_NS,
        )
    ]


def test_pods_of_a_node_are_all_that_have_not_ended_and_pods_of_a_job_those_with_gpus() -> None:
    cluster = live()
    daemon = ("apps/v1", "DaemonSet", "exporter", "uid-exporter")
    cluster.put_pods(
        [a_pod("a"), a_pod("b", on="n2"), a_pod("c", gpus=0, owner=daemon), a_pod("d", gpus=0), a_pod("e", on="")]
    )
    cluster.put_pods([a_pod("b", on="n2", phase="Succeeded")])

    assert (
        [pod.name for pod in cluster.pods_on("n1")],
        [pod.name for pod in cluster.pods_on("n2")],
        [pod.name for pod in cluster.pods_of("uid-train")],
    ) == (["a", "c", "d"], [], ["a", "e"])


def test_a_pod_that_moves_leaves_its_old_place() -> None:
    cluster = live()
    cluster.put_nodes([a_node("n1"), a_node("n2")])
    cluster.put_pods([a_pod("a", on="")])
    cluster.put_pods([a_pod("a", on="n2")])

    assert (
        cluster.pods_on("n1"),
        [pod.name for pod in cluster.pods_on("n2")],
        cluster.tally(Place.FLEET).gpus_free,
    ) == (
        (),
        ["a"],
        8,
    )


def test_a_node_made_anew_under_its_name_is_another_one() -> None:
    cluster = live()
    cluster.put_nodes([a_node("n1", uid="old", unschedulable=True)])
    cluster.put_nodes([a_node("n1", uid="new")])
    cluster.drop_node("old")

    found = cluster.node_named("n1")
    assert (cluster.node("old"), found and found.uid, cluster.tally(Place.FLEET).nodes) == (None, "new", 1)


@pytest.mark.parametrize(
    ("selector", "view"),
    [
        pytest.param(None, [], id="no selector is about no pod"),
        pytest.param({}, [BudgetView("ml", "b", allowed=2)], id="an empty one is about all"),
        pytest.param(
            {"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "c", "operator": "In", "values": ["d"]}]},
            [BudgetView("ml", "b", {"a": "b"}, (("c", "In", ("d",)),), 2)],
            id="labels and expressions",
        ),
    ],
)
def test_budgets_of_a_namespace(selector: object, view: list[BudgetView]) -> None:
    cluster = live()
    cluster.put_budgets([a_budget("b", selector, allowed=2), a_budget("other", {}, namespace="else")])

    assert list(cluster.budgets("ml")) == view


def test_labels_of_a_namespace_go_with_the_namespace_and_not_with_its_name() -> None:
    cluster = live()
    cluster.put_namespaces([a_namespace("ml", "1", team="a")])
    cluster.put_namespaces([a_namespace("ml", "2", team="b")])
    cluster.drop_namespace("1")
    before = cluster.namespace_labels("ml")
    cluster.drop_namespace("2")

    assert (before, cluster.namespace_labels("ml"), cluster.namespaces()) == ({"team": "b"}, {}, ())


OURS = {OWN_CORDON: "PLN-1"}
TAINT = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule", "timeAdded": "2027-01-15T07:30:00Z"}


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        pytest.param([{}], [], id="nothing happened"),
        pytest.param([{}, {"unschedulable": True}], [(NOW_NS + SECOND_NS, "cordon_by_person")], id="a cordon"),
        pytest.param(
            [{"unschedulable": True, "taints": [TAINT]}],
            [(NOW_NS - 1800 * SECOND_NS, "cordon_by_person")],
            id="a cordon found at the start, dated by its taint",
        ),
        pytest.param([{}, {"unschedulable": True, "annotations": OURS}], [], id="our own cordon"),
        pytest.param(
            [{"unschedulable": True, "annotations": OURS}, {"annotations": OURS}],
            [(NOW_NS + SECOND_NS, "uncordon_by_person")],
            id="an uncordon of ours",
        ),
        pytest.param([{"unschedulable": True, "annotations": OURS}, {}], [], id="our own uncordon"),
        pytest.param([{"annotations": OURS}], [(NOW_NS, "uncordon_by_person")], id="found at the start"),
        pytest.param(
            [{"annotations": OURS}, {"annotations": OURS, "labels": {"a": "b"}}],
            [(NOW_NS, "uncordon_by_person")],
            id="said once",
        ),
        pytest.param(
            [{}, {"unschedulable": True, "annotations": {"quarantineHealthEventIsCordoned": "True"}}],
            [],
            id="a cordon of NVSentinel's is no person's word",
        ),
    ],
)
def test_what_people_do_to_nodes_is_remembered(steps: list[dict[str, object]], words: list[tuple[int, str]]) -> None:
    clock = Clock()
    cluster = live(clock)
    for step in steps:
        cluster.put_nodes([a_node(**step)])
        clock.now_ns += SECOND_NS

    assert list(cluster.taken(0)) == [Taken(time_ns, what, node="uid-n1") for time_ns, what in words]


def test_words_of_people_stand_among_the_journals_entries_by_time() -> None:
    cluster = live()
    cluster.put_nodes([a_node(annotations=OURS)])
    steps = [Taken(NOW_NS - 5, "cordon"), Taken(NOW_NS + 5, "evict")]
    cluster.elsewhere.taken = lambda since_ns: [one for one in steps if one.time_ns >= since_ns]

    assert [one.what for one in cluster.taken(NOW_NS - 1)] == ["uncordon_by_person", "evict"]


def test_while_the_journal_is_away_people_are_still_heard_and_nothing_may_act() -> None:
    cluster = live()
    cluster.put_nodes([a_node(annotations=OURS)])

    def away(since_ns: int) -> list[Taken]:
        raise RetryLater("the database does not answer")

    before = cluster.problem(NOW_NS)
    cluster.elsewhere.taken = away

    assert ([one.what for one in cluster.taken(0)], before, cluster.problem(NOW_NS)) == (
        ["uncordon_by_person"],
        "",
        "what was done lately is not known: the database does not answer",
    )


names = st.sampled_from(["n1", "n2", "n3"])
nodes = st.builds(
    lambda name, uid, rack, gpus, away: a_node(
        name,
        uid=f"{name}-{uid}",
        gpus=gpus,
        unschedulable=away,
        labels={"topology.kubernetes.io/rack": rack, "nvidia.com/gpu.present": "true"},
    ),
    names,
    st.integers(0, 1),
    st.sampled_from(["", "r1", "r2"]),
    st.sampled_from([0, 4, 8]),
    st.booleans(),
)
pods = st.builds(
    lambda name, on, gpus, phase: a_pod(name, on=on, gpus=gpus, phase=phase),
    st.sampled_from(["p1", "p2", "p3"]),
    st.sampled_from(["", "n1", "n2", "n3"]),
    st.sampled_from([0, 1, 8]),
    st.sampled_from(["Pending", "Running", "Failed"]),
)
acts = st.lists(
    st.one_of(
        st.tuples(st.just("put_nodes"), nodes),
        st.tuples(st.just("put_pods"), pods),
        st.tuples(st.just("drop_node"), names.flatmap(lambda name: st.sampled_from([f"{name}-0", f"{name}-1"]))),
        st.tuples(st.just("drop_pod"), st.sampled_from(["uid-p1", "uid-p2", "uid-p3"])),
    ),
    max_size=30,
)


@given(acts)
def test_counts_kept_by_the_way_are_those_of_the_whole_counted_anew(did: list[tuple[str, object]]) -> None:
    cluster = live()
    for what, value in did:
        getattr(cluster, what)([value] if what.startswith("put") else value)
    all_pods = {pod.uid: pod for name in ("n1", "n2", "n3") for pod in cluster.pods_on(name)}
    whole = LaidOutCluster(all_nodes=list(cluster.nodes()), all_pods=list(all_pods.values()))

    places = [(Place.FLEET, ""), *((Place.RACK, rack) for rack in ("", "r1", "r2")), (Place.POOL, "")]
    assert [cluster.tally(*place) for place in places] == [whole.tally(*place) for place in places]


def test_readers_and_the_watchs_thread_do_not_meet_halfway() -> None:
    cluster = live()
    cluster.put_nodes([a_node(f"n{n}") for n in range(50)])
    done = threading.Event()
    seen: list[int] = []

    def write() -> None:
        for turn in range(40):
            cluster.put_pods([a_pod(f"p{n}", on=f"n{(n + turn) % 50}") for n in range(50)])
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not done.is_set():
        seen.append(len(list(cluster.pods_of("uid-train"))))
    writer.join()

    assert set(seen) <= {0, 50}
    assert cluster.tally(Place.FLEET).gpus_free == 0
