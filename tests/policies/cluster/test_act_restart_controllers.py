"""Gangs of JobSet, LeaderWorkerSet, TrainJob and Kueue restart once and whole under their own running controllers."""

from collections.abc import Callable
from typing import Any

import pytest
from acting import Act, refused

from policies.cluster.jobs.kueue import JOB_UID
from policies.journal import StepState
from policies.plan import StepKind
from testcluster import objects, workloads
from testcluster.admin import Admin, Object
from testcluster.controllers import start_controller
from testcluster.space import Space

PODS = 4


def uids(pods: list[Object]) -> set[str]:
    return {pod["metadata"]["uid"] for pod in pods}


def a_job_set(space: Space) -> tuple[Object, str]:
    start_controller(space.plane, "jobset")
    made = workloads.job_set("gang", space.namespace, PODS, restarts=0, nodeSelector=space.selector)
    return space.admin.create(made), "jobset.sigs.k8s.io/jobset-name=gang"


def a_train_job(space: Space) -> tuple[Object, str]:
    start_controller(space.plane, "trainer")
    space.admin.create(workloads.training_runtime("torch", space.namespace, nodeSelector=space.selector))
    made = space.admin.create(workloads.train_job("tuned", space.namespace, "torch", nodes=PODS))
    return made, "jobset.sigs.k8s.io/jobset-name=tuned"


GANGS = [pytest.param(a_job_set, id="JobSet"), pytest.param(a_train_job, id="TrainJob")]


@pytest.mark.parametrize("make", GANGS)
def test_a_suspended_gang_comes_back_whole_and_spends_no_restart(
    make: Callable[[Space], tuple[Object, str]], act: Act, admin: Admin, cluster: Space
) -> None:
    cluster.add_nodes(PODS)
    job, labels = make(cluster)
    before = cluster.running(labels, PODS, seconds=60)

    restart = act(StepKind.RESTART_JOB, job)
    ended = restart.run()

    after = cluster.running(labels, PODS, seconds=60)
    assert ended.state is StepState.DONE
    assert uids(before) & uids(after) == set()
    assert (
        restart.verify().detail == f"{job['kind']} {cluster.namespace}/{job['metadata']['name']} runs again with 4 pods"
    )
    sets = admin.list("JobSet", cluster.namespace)
    assert [(one["spec"].get("suspend", False), one["status"].get("restarts", 0)) for one in sets] == [(False, 0)]
    assert restart.run().changed is False


@pytest.mark.parametrize("make", GANGS)
def test_no_pod_of_the_new_gang_meets_one_of_the_old(
    make: Callable[[Space], tuple[Object, str]], act: Act, admin: Admin, cluster: Space
) -> None:
    cluster.add_nodes(PODS)
    job, labels = make(cluster)
    before = uids(cluster.running(labels, PODS, seconds=60))
    restart = act(StepKind.RESTART_JOB, job)
    mixed = []

    def watch(look: Any) -> bool:
        found = uids(admin.list("Pod", cluster.namespace, labels))
        mixed.append(bool(found & before) and bool(found - before))
        return False

    assert restart.run(until=watch).state is StepState.DONE
    assert not any(mixed)


def test_a_part_of_a_gang_is_not_restarted_alone(act: Act, admin: Admin, cluster: Space) -> None:
    cluster.add_nodes(PODS)
    _, labels = a_job_set(cluster)
    before = cluster.running(labels, PODS, seconds=60)
    [job] = admin.list("Job", cluster.namespace)

    reason = refused(act(StepKind.RESTART_JOB, {"apiVersion": "batch/v1", "kind": "Job", **job}))

    assert "belongs to JobSet gang, which would undo it: restart that one" in reason
    assert uids(before) == uids(cluster.running(labels, PODS))


def test_a_train_job_that_has_lost_a_pod_is_whole_again_only_with_all_of_them(
    act: Act, admin: Admin, cluster: Space
) -> None:
    names = cluster.add_nodes(PODS)
    job, labels = a_train_job(cluster)
    cluster.running(labels, PODS, seconds=60)
    for name in names[1:]:
        admin.cordon(name)
    restart = act(StepKind.RESTART_JOB, job, arguments={"pods_seen": str(PODS)})
    assert restart.run().state is StepState.DONE
    cluster.running(labels, 1, seconds=60)

    assert "1 of 4 pods run; waiting: " in restart.verify().detail
    for name in names[1:]:
        admin.cordon(name, False)
    cluster.running(labels, PODS, seconds=60)
    assert restart.verify().state is StepState.DONE


def leader_worker_set(space: Space) -> tuple[Object, str]:
    start_controller(space.plane, "lws")
    made = workloads.leader_worker_set("served", space.namespace, groups=2, size=2, nodeSelector=space.selector)
    return space.admin.create(made), "leaderworkerset.sigs.k8s.io/name=served"


def group(pod: Object) -> str:
    return str(pod["metadata"]["labels"]["leaderworkerset.sigs.k8s.io/group-index"])


def test_only_the_groups_on_the_faulty_node_of_a_leader_worker_set_are_made_anew(
    act: Act, admin: Admin, cluster: Space
) -> None:
    cluster.add_nodes(PODS)
    job, labels = leader_worker_set(cluster)
    before = cluster.running(labels, PODS, seconds=60)
    hit = before[-1]

    restart = act(StepKind.RESTART_JOB, job, arguments={"node": hit["spec"]["nodeName"]})
    ended = restart.run()

    assert ended.state is StepState.DONE
    on_node = {group(pod) for pod in before if pod["spec"]["nodeName"] == hit["spec"]["nodeName"]}
    after = cluster.running(labels, PODS, seconds=60)
    kept = {pod["metadata"]["uid"] for pod in before if group(pod) not in on_node}
    assert uids(before) & uids(after) == kept
    assert restart.memo["groups"] == ",".join(sorted(on_node))
    assert restart.verify().state is StepState.DONE
    assert restart.run().changed is False


def test_all_groups_of_a_leader_worker_set_are_made_anew_where_none_is_named(
    act: Act, admin: Admin, cluster: Space
) -> None:
    cluster.add_nodes(PODS)
    job, labels = leader_worker_set(cluster)
    before = cluster.running(labels, PODS, seconds=60)

    assert act(StepKind.RESTART_JOB, job).run().state is StepState.DONE

    admin.wait_list("Pod", lambda pods: not uids(before) & uids(pods), cluster.namespace)
    assert len(cluster.running(labels, PODS, seconds=60)) == PODS


@pytest.fixture
def queued(cluster: Space) -> Object:
    """A Job that Kueue has admitted, running."""
    start_controller(cluster.plane, "kueue")
    cluster.add_nodes(4)
    queue = f"queue-{cluster.namespace}"
    cluster.admin.create_all(workloads.queue(queue, cluster.namespace, gpus=16))
    label = {workloads.QUEUE_LABEL: queue}
    job = objects.indexed_job("first", cluster.namespace, 2, 8, label, nodeSelector=cluster.selector)
    made = cluster.admin.create(job)
    cluster.running("batch.kubernetes.io/job-name=first", 2)
    return made


def workload(cluster: Space, job: Object) -> Object:
    found = cluster.admin.list("Workload.kueue.x-k8s.io", cluster.namespace, f"{JOB_UID}={job['metadata']['uid']}")
    assert len(found) == 1
    return found[0]


def test_a_job_in_a_queue_is_restarted_through_kueue(act: Act, admin: Admin, cluster: Space, queued: Object) -> None:
    before = cluster.running("batch.kubernetes.io/job-name=first", 2)

    restart = act(StepKind.RESTART_JOB, queued)
    ended = restart.run()

    after = cluster.running("batch.kubernetes.io/job-name=first", 2, seconds=60)
    assert ended.state is StepState.DONE
    assert "was suspended through Kueue until its pods were gone; resumed" in ended.detail
    assert uids(before) & uids(after) == set()
    assert workload(cluster, queued)["spec"]["active"] is True
    noted = admin.get("Job", "first", cluster.namespace)["metadata"].get("annotations", {})
    assert [key for key in noted if key.startswith("watchstander.io/")] == []
    assert restart.verify().state is StepState.DONE


def test_a_queued_job_that_waits_for_room_is_not_restarted(
    act: Act, admin: Admin, cluster: Space, queued: Object
) -> None:
    second = objects.indexed_job("second", cluster.namespace, 2, 8, queued["metadata"]["labels"])
    made = admin.create(second)
    admin.wait_list(
        "Workload.kueue.x-k8s.io",
        lambda found: len(found) == 1,
        cluster.namespace,
        f"{JOB_UID}={made['metadata']['uid']}",
    )

    ended = act(StepKind.RESTART_JOB, made).run()

    assert (ended.state, ended.changed) == (StepState.SKIPPED, False)
    assert workload(cluster, made)["spec"]["active"] is True


@pytest.mark.parametrize(
    ("api_version", "kind", "says"),
    [
        ("kubeflow.org/v1", "PyTorchJob", "switch it on by adding PyTorchJob to `unproven`"),
        ("ray.io/v1", "RayJob", "switch it on by adding RayJob to `unproven`"),
        ("batch.volcano.sh/v1alpha1", "Job", "switch it on by adding Job.volcano to `unproven`"),
        (
            "apps/v1",
            "Deployment",
            "no way to restart such a job is known (known: Job, JobSet, LeaderWorkerSet, TrainJob)",
        ),
    ],
)
def test_a_kind_that_was_never_tried_is_refused(
    api_version: str, kind: str, says: str, act: Act, cluster: Space
) -> None:
    thing = {"apiVersion": api_version, "kind": kind, "metadata": objects.meta("x", cluster.namespace, uid="1")}

    assert says in refused(act(StepKind.RESTART_JOB, thing))
