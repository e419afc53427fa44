"""A running agent follows its policy file."""

import time
from pathlib import Path

import pytest
from running_agent import RunningAgent

from agent.settings import PolicySettings, Settings
from policies.model import Mode

GOOD = "version: 1\nrules:\n  - {name: tell, description: d, actions: [notify]}\n"


@pytest.fixture
def policy_path(tmp_path: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(GOOD)
    return path


@pytest.fixture
def agent_settings(policy_path: Path) -> Settings:
    return Settings(policy=PolicySettings(file=str(policy_path), look_seconds=0.05))


def ready(running: RunningAgent, until: str, seconds: float = 20) -> tuple[int, str]:
    """Status and text of /readyz for somebody who may read, once it holds these words (or as it is in the end)."""
    deadline = time.monotonic() + seconds
    while True:
        status, _, body = running.request("GET", "/readyz")
        if until in body.decode() or time.monotonic() > deadline:
            return status, body.decode()
        time.sleep(0.05)


def metric(running: RunningAgent, name: str) -> str:
    text = running.request("GET", "/metrics")[2].decode()
    return next(line for line in text.splitlines() if line.startswith(f"{name} ")).rpartition(" ")[2]


def test_a_policy_that_becomes_wrong_is_said_and_costs_no_readiness(running, policy_path) -> None:
    policy_path.write_text("version: 1\nrules: [\n")
    status, text = ready(running, "policy")
    wrong = metric(running, "watchstander_policy_file_wrong")
    policy_path.write_text(GOOD + "  - {name: more, description: d, actions: []}\n")
    deadline = time.monotonic() + 20
    while metric(running, "watchstander_policy_reloads_total") != "1" and time.monotonic() < deadline:
        time.sleep(0.05)

    assert (status, wrong) == (200, "1")
    assert text.startswith(f"ok\npolicy: {policy_path}:3: ")
    assert "the one before stays in force" in text
    assert ready(running, "ok\n") == (200, "ok\n")
    assert metric(running, "watchstander_policy_reloads_total") == "1"


def test_who_may_not_read_sees_one_word(running, policy_path) -> None:
    policy_path.write_text("rules: [")
    ready(running, "policy")

    assert running.request("GET", "/readyz", token=None)[2] == b"ok\n"


def test_refusals_are_counted_by_guard(running) -> None:
    text = running.request("GET", "/metrics")[2].decode()

    assert 'watchstander_guard_refusals_total{guard="G22"} 0' in text


@pytest.mark.parametrize(
    ("agent_settings", "said"),
    [
        pytest.param(Settings(), "ok\n", id="audit"),
        pytest.param(
            Settings(policy=PolicySettings(mode=Mode.ENFORCE)),
            "ok\npolicy.mode is enforce and inventory.kubernetes is off: nothing is carried out, only recorded\n",
            id="enforce",
        ),
    ],
)
def test_an_agent_that_may_act_and_knows_no_cluster_says_so(running: RunningAgent, said: str) -> None:
    assert ready(running, said) == (200, said)
