"""A drain on the real API server: budgets are asked, nothing is forced, and every pod that is left is named."""

from acting import Act

from policies.cluster import pods as pods_
from policies.journal import StepState
from policies.plan import StepKind
from testcluster import objects
from testcluster.admin import Admin, Object
from testcluster.space import Space, completion_index


def pods_on(admin: Admin, node: str) -> list[str]:
    """Those whose containers have not ended."""
    found = admin.list("Pod", fields=f"spec.nodeName={node},status.phase!=Failed")
    return sorted(pod["metadata"]["name"] for pod in found)


def cordon(act: Act, node: Object) -> None:
    assert act(StepKind.CORDON, node).run().state is StepState.DONE


def test_a_drain_evicts_the_job_s_pods_and_says_which(act: Act, admin: Admin, cluster: Space, node: Object) -> None:
    cluster.run_job("train", pods=2, gpus=2)
    cordon(act, node)

    drain = act(StepKind.EVICT, node)
    ended = drain.run()

    name = node["metadata"]["name"]
    assert ended.state is StepState.DONE
    assert ended.detail.startswith(f"Node {name}: 2 pods are gone ({cluster.namespace}/train-0-")
    assert drain.looks[0].state is StepState.WAITING
    assert pods_on(admin, name) == []
    assert drain.verify().state is StepState.DONE


def test_daemon_set_bare_finished_and_protected_pods_are_left(
    act: Act, admin: Admin, cluster: Space, node: Object
) -> None:
    name = node["metadata"]["name"]
    admin.create(objects.daemon_set("exporter", cluster.namespace, nodeSelector=cluster.selector))
    cluster.running("app=exporter", 1)
    bare = objects.pod("bare", cluster.namespace, gpus=1, nodeName=name)
    over = objects.pod("over", cluster.namespace, nodeName=name)
    dear = objects.deployment("dear", cluster.namespace, 1, nodeSelector=cluster.selector)
    dear["spec"]["template"]["metadata"]["labels"]["watchstander.io/protected"] = "true"
    admin.create_all([bare, over, dear])
    cluster.running("app=dear", 1)
    admin.wait("Pod", "over", lambda pod: pod["status"].get("phase") == "Running", cluster.namespace)
    admin.patch("Pod", "over", {"status": {"phase": "Succeeded"}}, cluster.namespace, subresource="status")
    cordon(act, node)

    drain = act(StepKind.EVICT, node).run()

    assert drain.state is StepState.SKIPPED
    for why in ("1 DaemonSet (", "1 finished (", "1 protected (", "1 without a controller ("):
        assert why in drain.detail
    assert len(pods_on(admin, name)) == 4


def test_a_bare_pod_is_evicted_only_where_the_step_says_so(
    act: Act, admin: Admin, cluster: Space, node: Object
) -> None:
    admin.create(objects.pod("bare", cluster.namespace, gpus=1, nodeName=node["metadata"]["name"]))
    cordon(act, node)

    assert act(StepKind.EVICT, node, arguments={"bare": "evict"}).run().state is StepState.DONE
    assert pods_on(admin, node["metadata"]["name"]) == []


def test_a_bare_pod_that_the_plan_names_is_evicted(act: Act, admin: Admin, cluster: Space, node: Object) -> None:
    pod = admin.create(objects.pod("bare", cluster.namespace, gpus=1, nodeName=node["metadata"]["name"]))
    cordon(act, node)

    drain = act(StepKind.EVICT, node, arguments={"pods": pod["metadata"]["uid"]})

    assert drain.run().state is StepState.DONE
    assert pods_on(admin, node["metadata"]["name"]) == []


def test_only_the_named_pods_are_evicted(act: Act, admin: Admin, cluster: Space, node: Object) -> None:
    first, second = cluster.run_job("train", pods=2, gpus=2)
    cordon(act, node)

    drain = act(StepKind.EVICT, node, arguments={"pods": first["metadata"]["uid"]})

    assert drain.run().state is StepState.DONE
    assert pods_on(admin, node["metadata"]["name"]) == [second["metadata"]["name"]]


def test_only_pods_with_gpus_are_evicted_where_the_step_says_so(
    act: Act, admin: Admin, cluster: Space, node: Object
) -> None:
    admin.create(objects.deployment("web", cluster.namespace, 1, nodeSelector=cluster.selector))
    web = cluster.running("app=web", 1)
    cluster.run_job("train", pods=1, gpus=2)
    cordon(act, node)

    assert act(StepKind.EVICT, node, arguments={"only": "gpus"}).run().state is StepState.DONE
    assert pods_on(admin, node["metadata"]["name"]) == [web[0]["metadata"]["name"]]


def test_a_node_that_is_not_cordoned_is_not_drained(act: Act, admin: Admin, cluster: Space, node: Object) -> None:
    cluster.run_job("train", pods=1, gpus=2)

    drain = act(StepKind.EVICT, node).run()

    assert (drain.state, drain.changed) == (StepState.FAILED, False)
    assert "could come back to it" in drain.detail
    assert len(pods_on(admin, node["metadata"]["name"])) == 1


def test_a_budget_that_never_allows_is_waited_for_and_then_named(
    act: Act, admin: Admin, cluster: Space, node: Object
) -> None:
    admin.create(objects.disruption_budget("keep", cluster.namespace, "train", min_available=1))
    pod = cluster.run_job("train", pods=1, gpus=2)[0]
    admin.wait("PodDisruptionBudget", "keep", lambda pdb: pdb.get("status", {}).get("expectedPods"), cluster.namespace)
    cordon(act, node)

    drain = act(StepKind.EVICT, node, arguments={"deadline_seconds": "60"})
    ended = drain.run()

    assert (ended.state, ended.changed) == (StepState.FAILED, False)
    assert "budgets allow none: The disruption budget keep needs" in ended.detail
    assert f"{cluster.namespace}/{pod['metadata']['name']}" in ended.detail
    waits = [look for look in drain.looks if look.state is StepState.RUNNING]
    assert {look.again_seconds for look in waits[:3]} == {10.0}
    assert "waits for budgets: The disruption budget keep" in waits[0].detail
    assert pods_on(admin, node["metadata"]["name"]) == [pod["metadata"]["name"]]


def test_a_pod_with_two_budgets_is_named_too(act: Act, admin: Admin, cluster: Space, node: Object) -> None:
    for name in ("one", "two"):
        admin.create(objects.disruption_budget(name, cluster.namespace, "train", max_unavailable=1))
    cluster.run_job("train", pods=1, gpus=2)
    cordon(act, node)

    ended = act(StepKind.EVICT, node, arguments={"deadline_seconds": "30"}).run()

    assert ended.state is StepState.FAILED
    assert "This pod has more than one PodDisruptionBudget" in ended.detail


def test_a_budget_of_one_lets_pods_go_one_by_one(act: Act, admin: Admin, cluster: Space) -> None:
    first, _ = cluster.add_nodes(2)
    admin.create(objects.disruption_budget("slow", cluster.namespace, "web", max_unavailable=1))
    admin.create(
        objects.deployment(
            "web", cluster.namespace, 3, nodeSelector={**cluster.selector, "kubernetes.io/hostname": first}
        )
    )
    cluster.running("app=web", 3)
    admin.wait(
        "PodDisruptionBudget",
        "slow",
        lambda pdb: pdb.get("status", {}).get("disruptionsAllowed") == 1,
        cluster.namespace,
    )
    node = admin.get("Node", first)
    cordon(act, node)

    # The replacements have no other node to go to: the budget allows the first pod and no other.
    ended = act(StepKind.EVICT, node, arguments={"deadline_seconds": "60"}).run()

    assert ended.state is StepState.FAILED
    assert "2 pods are still there" in ended.detail
    assert len(pods_on(admin, first)) == 2


def test_a_pod_that_never_ends_is_told_of_and_not_forced(act: Act, admin: Admin, cluster: Space, node: Object) -> None:
    cluster.run_job("train", pods=1, gpus=2, pod_labels=objects.NEVER_ENDS)
    name = node["metadata"]["name"]
    cordon(act, node)

    drain = act(StepKind.EVICT, node, arguments={"grace_seconds": "1", "end_margin_seconds": "1"})
    ended = drain.run()

    assert ended.state is StepState.FAILED
    assert "1 pods do not end, 1 s after their grace period" in ended.detail
    assert "never deleted by force" in ended.detail
    assert len(pods_on(admin, name)) == 1


def test_a_node_that_is_deleted_in_mid_drain_is_skipped(act: Act, admin: Admin, cluster: Space, node: Object) -> None:
    cluster.run_job("train", pods=2, gpus=2, pod_annotations=objects.ends_after("60s"))
    cordon(act, node)
    drain = act(StepKind.EVICT, node)
    drain.run(until=lambda look: look.changed)

    admin.delete("Node", node["metadata"]["name"])

    assert drain.run().detail == f"Node {node['metadata']['name']} is gone, and its pods with it"
    assert drain.looks[-1].state is StepState.SKIPPED


def test_no_more_pods_end_at_once_than_is_set(act: Act, admin: Admin, cluster: Space, node: Object) -> None:
    cluster.run_job("train", pods=5, gpus=1, pod_annotations=objects.ends_after("1s"))
    cordon(act, node)
    drain = act(StepKind.EVICT, node, settings={"evict_at_once": 2})
    most = 0

    def count(look: object) -> bool:
        nonlocal most
        found = admin.list("Pod", fields=f"spec.nodeName={node['metadata']['name']}")
        # One whose containers have ended waits for nothing but the Job controller, which takes its finalizer off.
        most = max(most, sum(pods_.is_ending(pod) and not pods_.is_over(pod) for pod in found))
        return False

    assert drain.run(until=count).state is StepState.DONE
    assert most == 2


def test_a_person_who_uncordons_in_mid_drain_stops_it(act: Act, admin: Admin, cluster: Space, node: Object) -> None:
    cluster.run_job("train", pods=4, gpus=1, pod_annotations=objects.ends_after("60s"))
    cordon(act, node)
    drain = act(StepKind.EVICT, node, settings={"evict_at_once": 1})
    drain.run(until=lambda look: look.changed)

    admin.cordon(node["metadata"]["name"], False)

    ended = drain.run()
    assert ended.state is StepState.FAILED
    assert "is not cordoned" in ended.detail
    ending = [pod for pod in admin.list("Pod", cluster.namespace) if "deletionTimestamp" in pod["metadata"]]
    assert len(ending) == 1


def test_pods_of_an_indexed_job_come_back_elsewhere(act: Act, admin: Admin, cluster: Space) -> None:
    first, _ = cluster.add_nodes(2, gpus=4)
    cluster.run_job("train", pods=2, gpus=4)
    node = admin.get("Node", first)
    cordon(act, node)
    cluster.add_nodes(1, gpus=4)

    assert act(StepKind.EVICT, node).run().state is StepState.DONE

    pods = cluster.running("app=train", 2)
    assert [completion_index(pod) for pod in pods] == [0, 1]
    assert first not in {pod["spec"]["nodeName"] for pod in pods}
