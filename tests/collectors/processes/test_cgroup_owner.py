"""The pod and container of a process are read from every form of /proc/PID/cgroup, and from nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.processes.cgroup import CgroupOwner, read_owner

UID = "1b9c2f3e-0d5a-4c1e-9f60-7a2b3c4d5e6f"
SNAKE = UID.replace("-", "_")
ID = "0123456789abcdef" * 4
STATIC = "0123456789abcdef0123456789abcdef"
V1_LINES = "12:pids:/a\n11:devices:{0}\n10:memory:{0}\n1:name=systemd:{0}\n0::/\n"

FORMS = {
    "v2-systemd-containerd-burstable": (
        f"0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{SNAKE}.slice/cri-containerd-{ID}.scope"
    ),
    "v2-systemd-containerd-guaranteed": f"0::/kubepods.slice/kubepods-pod{SNAKE}.slice/cri-containerd-{ID}.scope",
    "v2-systemd-crio": (
        f"0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{SNAKE}.slice/crio-{ID}.scope"
    ),
    "v2-crio-with-a-group-inside": f"0::/kubepods.slice/kubepods-pod{SNAKE}.slice/crio-{ID}.scope/container",
    "v2-systemd-docker": f"0::/kubepods.slice/kubepods-pod{SNAKE}.slice/docker-{ID}.scope",
    "v2-systemd-inside": f"0::/kubepods.slice/kubepods-pod{SNAKE}.slice/cri-containerd-{ID}.scope/init.scope",
    "v2-cgroupfs-burstable": f"0::/kubepods/burstable/pod{UID}/{ID}",
    "v2-cgroupfs-guaranteed": f"0::/kubepods/pod{UID}/{ID}",
    "v2-kind": (
        f"0::/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{SNAKE}.slice/cri-containerd-{ID}.scope"
    ),
    "v2-colons": f"0::/system.slice/containerd.service/kubepods-burstable-pod{SNAKE}.slice:cri-containerd:{ID}",
    "v2-seen-from-a-container": f"0::/../../kubepods-burstable-pod{SNAKE}.slice/cri-containerd-{ID}.scope",
    "v2-cgroupfs-seen-from-a-container": f"0::/../../pod{UID}/{ID}",
    "v2-deleted": f"0::/kubepods/burstable/pod{UID}/{ID} (deleted)",
    "v2-upper-case": f"0::/kubepods/burstable/pod{UID.upper()}/{ID}",
    "v1-cgroupfs": V1_LINES.format(f"/kubepods/burstable/pod{UID}/{ID}"),
    "v1-systemd": V1_LINES.format(f"/kubepods.slice/kubepods-pod{SNAKE}.slice/docker-{ID}.scope"),
    "v1-kind-in-docker": V1_LINES.format(f"/docker/{'f' * 64}/kubelet/kubepods/pod{UID}/{ID}"),
    "a-pod-within-a-pod": f"0::/kubepods/pod{UID}/{ID}/kubepods/pod{'9' + UID[1:]}/{'f' * 64}",
}


@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS)
def test_a_pods_process_is_known_by_pod_and_container(text: str) -> None:
    assert read_owner(text) == CgroupOwner(UID, ID)


def test_a_static_pod_bears_a_hash() -> None:
    assert read_owner(f"0::/kubepods/burstable/pod{STATIC}/{ID}") == CgroupOwner(STATIC, ID)


def test_a_group_of_the_pod_itself_has_no_container() -> None:
    assert read_owner(f"0::/kubepods/burstable/pod{UID}\n") == CgroupOwner(UID, None)


@pytest.mark.parametrize("path", [f"/docker/{ID}", f"/system.slice/docker-{ID}.scope", f"/machine.slice/libpod-{ID}"])
def test_a_container_outside_kubernetes_has_no_pod(path: str) -> None:
    assert read_owner(f"0::{path}\n") == CgroupOwner(None, ID)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "0::/",
        "0::/user.slice/user-1000.slice/session-3.scope",
        f"0::/kubepods/notapod{UID}/x",
        f"0::/kubepods/pod{UID}x/y",
        f"pod{UID}",
        f"/kubepods/pod{UID}/{ID}",
        f"0::relative/pod{UID}",
        "0::/podracer.slice",
        "0:" * 100_000,
        f"0::/{'a/' * 500_000}",
        "\x1b[31m0::/\x1b[0m\0\ufffd",
    ],
    ids=range(13),
)
def test_what_is_no_pods_group_has_no_owner(text: str) -> None:
    assert read_owner(text) == CgroupOwner()


@given(st.text())
def test_any_text_is_read_without_an_error(text: str) -> None:
    read_owner(text)


@given(st.uuids(), st.booleans(), st.text("0123456789abcdef", min_size=64, max_size=64), st.text(max_size=40))
def test_whatever_a_container_names_its_own_groups_its_pod_stays(uid, snake, container, inside) -> None:
    pod = str(uid).replace("-", "_") if snake else str(uid)
    path = f"/kubepods/burstable/pod{pod}/{container}/" + inside.replace("\n", "")
    assert read_owner(f"0::{path}") == CgroupOwner(str(uid), container)
