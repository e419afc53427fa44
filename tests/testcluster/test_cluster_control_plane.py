"""The control plane is a real one, and everything of it ends with it."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from collectors.errors import GiveUp, RetryLater
from testcluster import objects
from testcluster.__main__ import main
from testcluster.admin import Admin, ApiError
from testcluster.control_plane import ControlPlane, Write
from testcluster.space import Space, is_ready
from testcluster.warden import started_at

COLLECTORS = "watchstander-collectors"


def test_the_api_server_says_the_version_that_go_mod_pins(control_plane: ControlPlane) -> None:
    assert control_plane.admin.request("GET", "/version")["gitVersion"] == "v1.36.3"


def test_twenty_gpu_nodes_become_ready_and_keep_their_gpus(cluster: Space) -> None:
    names = cluster.add_nodes(20, gpus=8, racks=5)

    nodes = {node["metadata"]["name"]: node for node in cluster.admin.list("Node")}
    assert sorted(nodes) == names
    assert {(is_ready(node), node["status"]["allocatable"]["nvidia.com/gpu"]) for node in nodes.values()} == {
        (True, "8")
    }
    assert {node["metadata"]["labels"]["topology.kubernetes.io/rack"] for node in nodes.values()} == {
        f"rack-{index}" for index in range(5)
    }


def test_an_indexed_job_runs_with_one_pod_a_node_and_goes_on_running(cluster: Space) -> None:
    names = cluster.add_nodes(4)

    pods = cluster.run_job(pods=4, gpus=8)

    assert sorted(pod["spec"]["nodeName"] for pod in pods) == names
    assert cluster.admin.get("Job", "train", cluster.namespace)["status"].get("succeeded", 0) == 0


def test_a_pod_without_room_stays_pending_until_a_node_comes(cluster: Space) -> None:
    cluster.add_nodes(1, gpus=4)
    cluster.admin.create(objects.pod("wants-8", cluster.namespace, gpus=8, nodeSelector=cluster.selector))
    cluster.admin.wait(
        "Pod", "wants-8", lambda pod: "Unschedulable" in str(pod["status"].get("conditions")), cluster.namespace
    )

    (large,) = cluster.add_nodes(1, gpus=8)

    done = cluster.admin.wait("Pod", "wants-8", lambda pod: "nodeName" in pod["spec"], cluster.namespace)
    assert done["spec"]["nodeName"] == large


def test_a_cordoned_node_gets_no_pod(cluster: Space) -> None:
    cordoned, open_node = cluster.add_nodes(2)
    cluster.admin.cordon(cordoned)

    (pod,) = cluster.run_job(pods=1, gpus=1)

    assert pod["spec"]["nodeName"] == open_node


def test_an_evicted_pod_of_a_job_comes_back_on_another_node(cluster: Space) -> None:
    cluster.add_nodes(2)
    (before,) = cluster.run_job(pods=1, gpus=8)
    cluster.admin.cordon(before["spec"]["nodeName"])

    cluster.admin.evict(before["metadata"]["name"], cluster.namespace)

    (after,) = cluster.running("batch.kubernetes.io/job-name=train", 1)
    assert after["spec"]["nodeName"] != before["spec"]["nodeName"]
    cluster.admin.wait_gone("Pod", before["metadata"]["name"], cluster.namespace)


def test_a_disruption_budget_refuses_an_eviction(cluster: Space) -> None:
    cluster.add_nodes(1)
    cluster.admin.create(objects.disruption_budget("keep", cluster.namespace, app="train"))
    (pod,) = cluster.run_job(pods=1, gpus=1)
    cluster.admin.wait(
        "PodDisruptionBudget", "keep", lambda found: found["status"].get("expectedPods") == 1, cluster.namespace
    )

    with pytest.raises(ApiError) as refused:
        cluster.admin.evict(pod["metadata"]["name"], cluster.namespace)

    assert refused.value.status == 429


def test_a_pod_that_never_ends_stays_and_its_node_stays_full(cluster: Space) -> None:
    cluster.add_nodes(1)
    cluster.admin.create(objects.pod("stuck", cluster.namespace, 8, objects.NEVER_ENDS, nodeSelector=cluster.selector))
    cluster.running("", 1)

    cluster.admin.delete("Pod", "stuck", cluster.namespace)

    cluster.admin.create(objects.pod("next", cluster.namespace, 8, nodeSelector=cluster.selector))
    cluster.admin.wait("Pod", "next", lambda pod: "Unschedulable" in str(pod["status"]), cluster.namespace)
    assert cluster.admin.get("Pod", "stuck", cluster.namespace)["metadata"]["deletionTimestamp"]


def test_a_daemon_set_and_a_deployment_roll_out(cluster: Space) -> None:
    cluster.add_nodes(3)
    cluster.admin.create(objects.daemon_set("exporter", cluster.namespace, nodeSelector=cluster.selector))
    cluster.admin.create(objects.deployment("server", cluster.namespace, replicas=2, gpus=1))

    assert len(cluster.running("app=exporter", 3)) == 3
    assert len(cluster.running("app=server", 2)) == 2


def test_a_node_says_not_ready_by_label_and_recovers_without_it(cluster: Space) -> None:
    (name,) = cluster.add_nodes(1)
    label = {"node-not-ready.stage.kwok.x-k8s.io": "true"}

    cluster.admin.patch("Node", name, {"metadata": {"labels": label}})
    cluster.admin.wait("Node", name, lambda node: not is_ready(node))
    cluster.admin.patch("Node", name, {"metadata": {"labels": dict.fromkeys(label)}})

    assert is_ready(cluster.admin.wait("Node", name, is_ready))


def test_a_token_bound_to_a_pod_proves_its_node(cluster: Space) -> None:
    (node,) = cluster.add_nodes(1)
    cluster.admin.create(objects.service_account("collector", cluster.namespace))
    cluster.admin.create(
        objects.pod("collect", cluster.namespace, nodeSelector=cluster.selector, serviceAccountName="collector")
    )
    cluster.running("", 1)

    token = cluster.admin.token_request("collector", cluster.namespace, audience=COLLECTORS, pod="collect")

    review = cluster.admin.review_token(token, COLLECTORS)
    assert review["authenticated"] is True
    assert review["user"]["extra"]["authentication.kubernetes.io/node-name"] == [node]
    assert cluster.admin.review_token(token).get("authenticated", False) is False


def test_a_role_grants_what_it_says_and_the_audit_log_has_every_write(cluster: Space) -> None:
    cluster.admin.create(objects.service_account("reader", cluster.namespace))
    cluster.admin.create_all(
        objects.role("reader", [objects.rule(["list", "create"], ["pods"])], "reader", cluster.namespace)
    )
    reader = cluster.admin.with_token(cluster.admin.token_request("reader", cluster.namespace))

    assert reader.list("Pod", cluster.namespace) == []
    created = reader.create(objects.pod("made", cluster.namespace))
    with pytest.raises(ApiError) as refused:
        reader.delete("Pod", "made", cluster.namespace)

    assert created["metadata"]["name"] == "made"
    assert refused.value.status == 403
    user = f"system:serviceaccount:{cluster.namespace}:reader"
    assert cluster.plane.writes(user) == [
        Write(user, "create", "pods", cluster.namespace, "made", 201),
        Write(user, "delete", "pods", cluster.namespace, "made", 403),
    ]


def test_the_tables_show_what_is_cordoned_and_where_pods_run(
    cluster: Space, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (name,) = cluster.add_nodes(1, racks=1)
    (pod,) = cluster.run_job(pods=1, gpus=8)
    cluster.admin.cordon(name)
    cluster.admin.wait("Node", name, lambda node: bool(node["spec"].get("taints")))
    monkeypatch.setenv("KUBECONFIG", str(cluster.plane.kubeconfig()))

    assert main(["show"]) == 0

    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    taint = "node.kubernetes.io/unschedulable:NoSchedule"
    assert [name, "Ready,", "cordoned", "8", "of", "8", "rack-0", taint] in rows
    assert [cluster.namespace, pod["metadata"]["name"], "Running", name, "-"] in rows


def test_nobody_gets_in_without_a_token_and_another_ca_is_not_trusted(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    with pytest.raises(ApiError) as refused:
        control_plane.client("guessed").list("Node")

    assert refused.value.status == 401
    assert sorted(path.name for path in control_plane.at.folder.glob("*.sock")) == ["etcd.sock"]
    assert control_plane.at.folder.stat().st_mode & 0o77 == 0
    keys = [control_plane.kubeconfig(), control_plane.token_file(), control_plane.at.folder / "tokens.csv"]
    assert {path.stat().st_mode & 0o77 for path in keys} == {0}
    subprocess.run([control_plane_keys(), tmp_path], check=True)
    with pytest.raises(RetryLater, match="CERTIFICATE_VERIFY_FAILED"):
        Admin(control_plane.url, control_plane.token(), tmp_path / "ca.crt").list("Node")


def control_plane_keys() -> Path:
    from testcluster.parts import KEYS, binary

    return binary(KEYS, "keys")


def test_the_api_server_alone_can_be_stopped_paused_and_come_back_with_its_data(
    own_control_plane: ControlPlane,
) -> None:
    plane = own_control_plane
    plane.admin.create(objects.namespace("kept"))

    plane.stop_api_server()
    with pytest.raises(RetryLater, match="refused"):
        plane.admin.list("Node")
    plane.start_api_server()
    assert plane.admin.find("Namespace", "kept") is not None

    plane.api_server.pause()
    hurried = plane.admin
    hurried.timeout_seconds = 0.3
    with pytest.raises(RetryLater, match="timed out"):
        hurried.list("Namespace")
    plane.api_server.resume()
    plane.api_server.wait_until(plane.admin.ready, 30)

    folder, processes = plane.at.folder, [component.pid for component in plane.components.values()]
    plane.stop()
    assert [pid for pid in processes if pid and started_at(pid)] == []
    assert not folder.exists()


@pytest.mark.cluster
def test_a_control_plane_dies_with_its_owner_also_by_kill_9(tmp_path: Path) -> None:
    program = (
        "import sys; from testcluster.control_plane import ControlPlane\n"
        "plane = ControlPlane.start()\n"
        "print(plane.at.folder, plane._warden._process.pid, *[part.pid for part in plane.components.values()])\n"
        "sys.stdout.flush(); sys.stdin.read()"
    )
    owner = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None and owner.stdin is not None
    folder, warden, *pids = owner.stdout.readline().split()
    assert len(pids) == 5

    owner.send_signal(signal.SIGKILL)
    owner.communicate()

    subprocess.run(["tail", f"--pid={warden}", "-f", "/dev/null"], check=True, timeout=30)  # until the warden is done
    assert [pid for pid in pids if started_at(int(pid))] == []
    assert not Path(folder).exists()


def test_a_component_that_fails_says_how_its_log_ends(control_plane: ControlPlane, tmp_path: Path) -> None:
    component = control_plane.add("failing", [sys.executable, "-c", "raise SystemExit('no such port')"])

    with pytest.raises(GiveUp, match=r"failing ended with exit code 1; the end of .*\nno such port"):
        component.wait_until(lambda: False, 30)
    del control_plane.components["failing"]
