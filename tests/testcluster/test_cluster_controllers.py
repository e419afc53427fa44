"""Controllers of training workloads run beside the control plane, as their own modules have them."""

from contextlib import suppress
from pathlib import Path

import pytest

from collectors.errors import FixConfiguration
from testcluster import objects, workloads
from testcluster.admin import ApiError
from testcluster.control_plane import ControlPlane
from testcluster.controllers import start_controller, stop_controller
from testcluster.space import Space


def test_a_job_set_runs_and_a_failed_pod_restarts_the_whole_gang(cluster: Space) -> None:
    start_controller(cluster.plane, "jobset")
    cluster.add_nodes(4)
    cluster.admin.create(workloads.job_set("gang", cluster.namespace, nodeSelector=cluster.selector))
    before = cluster.running("jobset.sigs.k8s.io/jobset-name=gang", 4)

    cluster.admin.patch(
        "Pod", before[0]["metadata"]["name"], {"status": {"phase": "Failed"}}, cluster.namespace, subresource="status"
    )

    restarted = "jobset.sigs.k8s.io/jobset-name=gang,jobset.sigs.k8s.io/restart-attempt=1"
    after = cluster.running(restarted, 4)
    assert not {pod["metadata"]["uid"] for pod in before} & {pod["metadata"]["uid"] for pod in after}
    assert cluster.admin.get("JobSet", "gang", cluster.namespace)["status"]["restarts"] == 1


def test_the_webhooks_of_jobset_refuse_what_is_wrong(cluster: Space) -> None:
    start_controller(cluster.plane, "jobset")
    wrong = workloads.job_set("wrong", cluster.namespace)
    wrong["spec"]["successPolicy"] = {"operator": "All", "targetReplicatedJobs": ["nobody"]}

    with pytest.raises(ApiError, match=r"vjobset\.kb\.io.*nobody"):
        cluster.admin.create(wrong)


def test_a_leader_worker_set_recreates_its_group_when_a_pod_is_evicted(cluster: Space) -> None:
    start_controller(cluster.plane, "lws")
    cluster.add_nodes(4)
    cluster.admin.create(workloads.leader_worker_set("served", cluster.namespace, nodeSelector=cluster.selector))
    before = cluster.running("leaderworkerset.sigs.k8s.io/name=served", 4)

    cluster.admin.evict(before[-1]["metadata"]["name"], cluster.namespace)

    old = {pod["metadata"]["uid"] for pod in before}
    cluster.admin.wait_list("Pod", lambda pods: not old & {pod["metadata"]["uid"] for pod in pods}, cluster.namespace)
    assert len(cluster.running("leaderworkerset.sigs.k8s.io/name=served", 4)) == 4


def test_a_train_job_runs_as_a_job_set(cluster: Space) -> None:
    start_controller(cluster.plane, "trainer")
    cluster.add_nodes(4)
    cluster.admin.create(workloads.training_runtime("torch", cluster.namespace, nodeSelector=cluster.selector))
    cluster.admin.create(workloads.train_job("tuned", cluster.namespace, "torch", nodes=4))

    assert len(cluster.running("jobset.sigs.k8s.io/jobset-name=tuned", 4, seconds=60)) == 4


def test_kueue_holds_a_job_back_until_there_is_room(cluster: Space) -> None:
    start_controller(cluster.plane, "kueue")
    cluster.add_nodes(4)
    queue = f"queue-{cluster.namespace}"
    cluster.admin.create_all(workloads.queue(queue, cluster.namespace, gpus=16))
    label = {workloads.QUEUE_LABEL: queue}
    for name in ("first", "second"):
        job = objects.indexed_job(name, cluster.namespace, 2, 8, label, nodeSelector=cluster.selector)
        cluster.admin.create(job)
        if name == "first":
            cluster.running("batch.kubernetes.io/job-name=first", 2)

    held = cluster.admin.get("Job", "second", cluster.namespace)
    cluster.admin.delete("Job", "first", cluster.namespace, propagationPolicy="Background")

    assert held["spec"]["suspend"] is True
    assert len(cluster.running("batch.kubernetes.io/job-name=second", 2)) == 2


def test_a_controller_that_is_stopped_refuses_nothing_any_more_and_can_be_started_again(
    own_control_plane: ControlPlane,
) -> None:
    plane = own_control_plane
    start_controller(plane, "jobset")
    stop_controller(plane, "jobset")
    plane.admin.create(workloads.job_set("unseen", "default"))
    assert plane.admin.get("JobSet", "unseen", "default").get("status") is None

    start_controller(plane, "jobset")

    plane.admin.create(workloads.job_set("seen", "default"))
    plane.admin.wait("Job", "seen-workers-0", bool, "default")


def listeners(pid: int) -> list[str]:
    """Addresses, as hexadecimal digits, at which a process listens for TCP."""
    inodes = set()
    for handle in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            inodes.add(str(handle.readlink()).removeprefix("socket:[").removesuffix("]"))
    rows = [
        line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()
    ]
    return [row[1].partition(":")[0] for row in rows if row[3] == "0A" and row[9] in inodes]


def test_nothing_listens_beyond_loopback(control_plane: ControlPlane) -> None:
    start_controller(control_plane, "jobset")
    pids = {name: part.pid for name, part in control_plane.components.items() if part.pid is not None}

    found = {name: listeners(pid) for name, pid in pids.items()}

    assert {address for addresses in found.values() for address in addresses} == {"0100007F"}
    assert {name for name, addresses in found.items() if addresses} >= {"kube-apiserver", "jobset"}


def test_an_unknown_controller_is_named(control_plane: ControlPlane) -> None:
    with pytest.raises(FixConfiguration, match="no controller volcano; there are jobset, lws, trainer, kueue"):
        start_controller(control_plane, "volcano")
