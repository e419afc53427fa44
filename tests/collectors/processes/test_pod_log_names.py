"""The path of a log names pod and container, and templates make jobs and ranks of it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.processes.pod_log import PodLog, fill, fill_rank, find_pod_log, pod_base, pod_index, read_path

UID = "1b9c2f3e-0d5a-4c1e-9f60-7a2b3c4d5e6f"
LOG = PodLog("train", "llama-3-x7k2p", UID, "main")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (f"/var/log/pods/train_llama-3-x7k2p_{UID}/main/0.log", LOG),
        (f"/host/log/pods/train_llama-3-x7k2p_{UID}/main/12.log", LOG),
        (f"train_llama-3-x7k2p_{UID}/main/0.log.20261122-101010", LOG),
        (f"/var/log/pods/kube-system_a.b-c_{'0' * 32}/x/0.log", PodLog("kube-system", "a.b-c", "0" * 32, "x")),
        (f"/var/log/pods/train_llama_{UID}/0.log", None),
        (f"/var/log/pods/train_Llama_{UID}/main/0.log", None),
        (f"/var/log/pods/train_llama_x_{UID}/main/0.log", None),
        ("/var/log/train.log", None),
        ("0.log", None),
        ("", None),
        ("/" * 100_000, None),
        (f"/var/log/pods/train_ll\x1bama_{UID}/main/0.log", None),
    ],
    ids=range(12),
)
def test_only_the_kubelets_paths_name_a_pod(path: str, expected: PodLog | None) -> None:
    assert read_path(path) == expected


def test_a_link_of_var_log_containers_leads_to_its_pod(tmp_path: Path) -> None:
    folder = tmp_path / "pods" / f"train_llama-3-x7k2p_{UID}" / "main"
    folder.mkdir(parents=True)
    docker = tmp_path / "json.log"
    docker.write_text("")
    (folder / "0.log").symlink_to(docker)  # as Docker has it: the pod's own log is a link, too
    (tmp_path / "containers").mkdir()
    link = tmp_path / "containers" / f"llama-3-x7k2p_train_main-{'a' * 64}.log"
    link.symlink_to(f"../pods/train_llama-3-x7k2p_{UID}/main/0.log")
    assert find_pod_log(str(link)) == LOG


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert find_pod_log(str(tmp_path / "a")) is None


@pytest.mark.parametrize(
    ("pod", "base", "index"),
    [
        ("llama-0", "llama", 0),
        ("llama-12", "llama", 12),
        ("llama-3-x7k2p", "llama", 3),
        ("llama-x7k2p", "llama", None),
        ("llama-6d9f8b6c5d-x7k2p", "llama", None),
        ("llama-70b-6d9f8b6c5d-x7k2p", "llama-70b", None),
        ("llama-70b-0", "llama-70b", 0),
        ("llama-worker-3", "llama", 3),
        ("llama-master-0", "llama", 0),
        ("llama-launcher-x7k2p", "llama-launcher", None),
        ("llama-workers-0-3-x7k2p", "llama-workers", 3),
        ("llama-trainer", "llama-trainer", None),
        ("llama", "llama", None),
        ("0", "0", None),
        ("worker-0", "worker", 0),
        ("x7k2p", "x7k2p", None),
    ],
)
def test_the_base_of_a_pods_name_is_what_made_the_pod(pod: str, base: str, index: int | None) -> None:
    assert (pod_base(pod), pod_index(pod)) == (base, index)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("llama-70b", "llama-70b"),
        ("{namespace}/{pod_base}", "train/llama"),
        ("{pod}", "llama-3-x7k2p"),
        ("{container}-of-{pod_base}", "main-of-llama"),
        ("{pod_index}", "3"),
        ("{pod", "{pod"),
        ("}{", "}{"),
        ("{pod}" * 20, None),
    ],
)
def test_a_template_is_filled_from_the_path(template: str, expected: str | None) -> None:
    assert fill(template, LOG) == expected


@pytest.mark.parametrize("template", ["{pod}", "x{container}y", "{pod_index}"])
def test_a_template_is_not_filled_from_a_path_that_does_not_say(template: str) -> None:
    assert fill(template, None) is None
    assert fill("{pod_index}", PodLog("train", "llama", UID, "main")) is None


@pytest.mark.parametrize(
    ("rank", "expected"),
    [(5, 5), (None, None), ("{pod_index}", 3), ("{pod}", None), ("{pod_index}{pod_index}", 33), ("-{pod_index}", None)],
)
def test_a_rank_is_a_figure_or_unknown(rank: int | str | None, expected: int | None) -> None:
    assert fill_rank(rank, LOG) == expected


@given(st.text())
def test_any_path_is_read_without_an_error(path: str) -> None:
    read_path(path)


@given(st.from_regex(r"[a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?", fullmatch=True))
def test_a_base_is_a_beginning_of_the_name_and_never_empty(pod: str) -> None:
    base = pod_base(pod)
    assert base
    assert pod.startswith(base)


@given(st.from_regex(r"[a-z]{1,10}", fullmatch=True), st.integers(0, 9999))
def test_all_pods_of_a_stateful_set_have_one_base(name: str, index: int) -> None:
    assert (pod_base(f"{name}-set-{index}"), pod_index(f"{name}-set-{index}")) == (f"{name}-set", index)
