"""Gangs of real controllers, found by their owners, with the rights of audit mode and no others."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from real_view import Seen

from policies.cluster.rbac import AGENT, manifests
from policies.model import Mode
from testcluster import workloads
from testcluster.admin import Object
from testcluster.controllers import start_controller
from testcluster.objects import deployment
from testcluster.space import Space

PODS = 2


def a_job_set(space: Space) -> tuple[Object, str]:
    start_controller(space.plane, "jobset")
    made = workloads.job_set("gang", space.namespace, PODS, nodeSelector=space.selector)
    return space.admin.create(made), "jobset.sigs.k8s.io/jobset-name=gang"


def a_train_job(space: Space) -> tuple[Object, str]:
    start_controller(space.plane, "trainer")
    space.admin.create(workloads.training_runtime("torch", space.namespace, nodeSelector=space.selector))
    made = space.admin.create(workloads.train_job("tuned", space.namespace, "torch", nodes=PODS))
    return made, "jobset.sigs.k8s.io/jobset-name=tuned"


def a_leader_worker_set(space: Space) -> tuple[Object, str]:
    start_controller(space.plane, "lws")
    made = workloads.leader_worker_set("served", space.namespace, size=PODS, nodeSelector=space.selector)
    return space.admin.create(made), "leaderworkerset.sigs.k8s.io/name=served"


@pytest.mark.parametrize("make", [a_job_set, a_train_job, a_leader_worker_set], ids=lambda make: make.__name__)
def test_the_pods_of_a_gang_are_those_of_the_object_that_a_person_made(
    cluster: Space, look: Callable[..., Seen], tmp_path: Path, make: Callable[[Space], tuple[Object, str]]
) -> None:
    cluster.add_nodes(PODS)
    top, labels = make(cluster)
    pods = cluster.running(labels, PODS, seconds=60)
    seen = look(cluster.plane, token_file=audit_token(cluster, tmp_path)).until_well()
    uid = top["metadata"]["uid"]
    seen.until(lambda: len(seen.view.pods_of(uid)) == PODS, f"the pods of {top['kind']}")
    direct = {owner["uid"] for pod in pods for owner in pod["metadata"]["ownerReferences"]}
    cluster.admin.delete("ClusterRoleBinding", f"{AGENT}-{cluster.namespace}")

    assert {(p.owner.kind, p.owner.name, p.owner.uid) for p in seen.view.pods_of(uid) if p.owner} == {
        (top["kind"], top["metadata"]["name"], uid)
    }
    assert {pod.uid for one in direct for pod in seen.view.pods_of(one)} == {pod["metadata"]["uid"] for pod in pods}
    assert seen.view.owners is not None
    assert seen.view.owners.refused == {}


def test_replicas_of_a_deployment_are_no_gang_of_its_own_making(cluster: Space, look: Callable[..., Seen]) -> None:
    cluster.add_nodes(1)
    cluster.admin.create(deployment("web", cluster.namespace, replicas=2, gpus=1, nodeSelector=cluster.selector))
    pods = cluster.running("app=web", 2)
    seen = look(cluster.plane).until_well()
    owner = pods[0]["metadata"]["ownerReferences"][0]
    seen.until(lambda: len(seen.view.pods_of(owner["uid"])) == 2, "the replicas")

    assert {pod.owner.kind for pod in seen.view.pods_of(owner["uid"]) if pod.owner} == {"ReplicaSet"}


def audit_token(cluster: Space, folder: Path) -> Path:
    """Of a service account with the agent's rights in audit mode."""
    admin = cluster.admin
    for one in manifests(Mode.AUDIT, (), namespace=cluster.namespace):
        if one["kind"] == "ClusterRoleBinding":
            one["metadata"]["name"] = f"{AGENT}-{cluster.namespace}"
        admin.apply(one)
    client = cluster.plane.client(admin.token_request(AGENT, cluster.namespace))
    end = time.monotonic() + 20
    while True:  # the authoriser follows roles by a watch of its own
        try:
            client.list("PodDisruptionBudget")
            break
        except Exception:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
    path = folder / "token"
    path.write_text(client.token)
    return path
