"""`--check` says what stands between the collector and the GPUs, the exporter and the agent."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from raw_server import RawServer, answer

from collectors.check import CheckLine, Verdict, check_node
from collectors.gpu.nvml import NvmlGpus
from collectors.model import Subject
from collectors.settings import AgentSettings, LogSettings, NodeSettings, Settings, SpoolSettings

FAKE_CHILD = Path(__file__).parents[1] / "gpu" / "fake_nvml_child.py"
PAGE = b'DCGM_FI_DEV_GPU_TEMP{gpu="0",UUID="GPU-1",modelName="NVIDIA H200"} 50\n'


def settings(tmp_path: Path, **more: object) -> Settings:
    (tmp_path / "token").write_text("a-token")
    quiet = {
        "node": NodeSettings("node-1", "uid-1"),
        "nvml": False,
        "kmsg": None,
        "spool": SpoolSettings(directory=str(tmp_path / "spool")),
        "agent": AgentSettings(url="http://127.0.0.1:1", token_file=str(tmp_path / "token")),
    }
    return Settings(**(quiet | more))


def lines(checked: Settings, make_nvml: Callable[[Subject, str], NvmlGpus] = NvmlGpus) -> dict[str, CheckLine]:
    return {line.name: line for line in check_node(checked, make_nvml)}


def fake_nvml(tmp_path: Path, **state: object) -> Callable[[Subject, str], NvmlGpus]:
    path = tmp_path / "state.json"
    path.write_text(json.dumps(state))
    return lambda node, name: NvmlGpus(node, name, command=[sys.executable, str(FAKE_CHILD), str(path)])


@pytest.mark.slow
def test_gpus_are_counted_and_named(tmp_path: Path) -> None:
    said = lines(settings(tmp_path, nvml=True), fake_nvml(tmp_path, gpus=3))
    assert said["NVML"] == CheckLine("NVML", Verdict.YES, "loaded, driver 580.1")
    assert said["GPUs"] == CheckLine("GPUs", Verdict.YES, "3: NVIDIA Fake")


@pytest.mark.slow
def test_a_library_that_is_missing_says_how_to_get_it(tmp_path: Path) -> None:
    said = lines(settings(tmp_path, nvml=True), fake_nvml(tmp_path, missing=True))
    assert said["NVML"].verdict is Verdict.NO
    assert "NVML Shared Library Not Found; mount the NVIDIA driver" in said["NVML"].says


@pytest.mark.slow
def test_a_node_without_gpus_says_so(tmp_path: Path) -> None:
    said = lines(settings(tmp_path, nvml=True), fake_nvml(tmp_path, gpus=0))
    assert (said["GPUs"].verdict, said["GPUs"].says) == (Verdict.NO, "none")


def test_an_exporter_is_asked(tmp_path: Path) -> None:
    with RawServer(lambda _: answer(200, body=PAGE)) as server:
        said = lines(settings(tmp_path, dcgm_exporter=f"{server.url}/metrics"))
    assert said["dcgm-exporter"] == CheckLine("dcgm-exporter", Verdict.YES, "1 GPUs")


@pytest.mark.parametrize(
    ("reply", "verdict", "says"),
    [
        (answer(404), Verdict.NO, "answers 404"),
        (answer(200, body=b"up 1\n"), Verdict.NO, "tells of no GPU"),
    ],
)
def test_an_exporter_that_is_none_is_told(tmp_path: Path, reply: bytes, verdict: Verdict, says: str) -> None:
    with RawServer(lambda _: reply) as server:
        said = lines(settings(tmp_path, dcgm_exporter=f"{server.url}/metrics"))
    assert said["dcgm-exporter"].verdict is verdict
    assert says in said["dcgm-exporter"].says


@pytest.mark.parametrize(
    ("reply", "agent", "token"),
    [
        (answer(400), Verdict.YES, Verdict.YES),
        (answer(200), Verdict.YES, Verdict.YES),
        (answer(401), Verdict.YES, Verdict.NO),
        (answer(403), Verdict.YES, Verdict.NO),
        (answer(429), Verdict.YES, Verdict.NO),
        (answer(421, location="https://leader:8480"), Verdict.YES, Verdict.NOTE),
        (answer(503), Verdict.YES, Verdict.NOTE),
        (answer(404), Verdict.NO, None),
        (answer(500), Verdict.NO, None),
        (b"", Verdict.NO, None),
        (b"SSH-2.0\r\n\r\n", Verdict.NO, None),
    ],
    ids=["400", "200", "401", "403", "429", "421", "503", "404", "500", "closes", "no-http"],
)
def test_the_agents_answer_is_judged(tmp_path: Path, reply: bytes, agent: Verdict, token: Verdict | None) -> None:
    with RawServer(lambda _: reply) as server:
        url = AgentSettings(url=server.url, token_file=str(tmp_path / "token"))
        said = lines(settings(tmp_path, agent=url))
    assert said["agent"].verdict is agent
    assert (said["token"].verdict if "token" in said else None) is token
    assert all(line.do or line.verdict is Verdict.YES for name, line in said.items() if name in ("agent", "token"))


def test_an_agent_that_is_not_there_is_told(tmp_path: Path) -> None:
    said = lines(settings(tmp_path))
    assert said["agent"].says == "http://127.0.0.1:1: Connection refused"


def test_a_kernel_log_that_may_not_be_read_is_told(tmp_path: Path) -> None:
    said = lines(settings(tmp_path, kmsg=str(tmp_path / "none")))
    assert said["kernel log"].verdict is Verdict.NO
    assert "give it CAP_SYSLOG" in said["kernel log"].says


def test_a_spool_with_too_little_room_is_noted(tmp_path: Path) -> None:
    said = lines(settings(tmp_path, spool=SpoolSettings(directory=str(tmp_path / "spool"), max_bytes=2**60)))
    assert said["spool"].verdict is Verdict.NOTE


@pytest.mark.parametrize("there", [pytest.param(True, id="folder was there"), pytest.param(False, id="was not")])
def test_the_look_at_the_spool_leaves_everything_as_it_was(tmp_path: Path, there: bool) -> None:
    directory = tmp_path / "state" / "spool"
    if there:
        directory.mkdir(parents=True)
    said = lines(settings(tmp_path, spool=SpoolSettings(directory=str(directory))))
    assert said["spool"].verdict is Verdict.YES
    assert (directory.exists(), directory.parent.exists()) == (there, there)
    assert list(tmp_path.rglob("*.probe")) == []


def test_a_file_name_cannot_command_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "\x1b[31mred\n.log").write_text("")
    said = lines(settings(tmp_path, logs=(LogSettings(f"{tmp_path}/*.log", "job-1"),)))["log"].text()
    assert said.isprintable()
    assert "?[31mred?.log" in said
