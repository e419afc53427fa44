"""`watchstander inject`: what it lists, refuses, and tells of what follows."""

from pathlib import Path
from typing import Any, cast

import pytest

from agent.cli.client import AgentClient
from agent.cli.commands.inject import follow
from agent.cli.exit_codes import FIX_CONFIGURATION, OK, RETRY_LATER
from agent.cli.main import main
from agent.inject.control import Laid
from agent.inject.faults import FAULTS

SECOND = 10**9


def test_the_list_names_every_fault_and_its_signs_also_without_a_fleet(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inject", "--list", "--fleet", str(tmp_path)]) == OK
    said = capsys.readouterr().out

    assert [name for name in FAULTS if name not in said] == []
    assert "no fleet listens" in said


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], FIX_CONFIGURATION, "say FAULT and --node"),
        (["xid-79"], FIX_CONFIGURATION, "say FAULT and --node"),
        (["xid-80", "--node", "a"], FIX_CONFIGURATION, "no such fault: xid-80"),
        (["xid-79", "--node", "a", "--watch", "0"], RETRY_LATER, "no fleet listens"),
        (["xid-79", "--node", "a", "--lasts", "-1"], 2, "give seconds"),
    ],
    ids=["nothing", "no-node", "fault", "no-fleet", "lasts"],
)
def test_what_is_missing_is_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, words: str
) -> None:
    assert main(["inject", *arguments, "--fleet", str(tmp_path)]) == code
    assert words in capsys.readouterr().err


class Agent:
    """One incident that grows from one look to the next, and one that was over before."""

    def __init__(self) -> None:
        self.looks = 0

    def get(self, path: str, query: object = None) -> Any:
        mine = {
            "id": "INC-B",
            "resolved_ns": None,
            "updated_ns": 12 * SECOND,
            "state": "open",
            "title": "the card is lost",
        }
        if path == "/v1/incidents":
            self.looks += 1
            return {"incidents": [{**mine, "id": "INC-A", "resolved_ns": SECOND}, mine][: 1 if self.looks == 1 else 2]}
        finding = {"id": "F-1", "kind": "gpu_lost", "summary": "lost", "opened_ns": 11 * SECOND, "cleared_ns": None}
        decision = {"id": "D-1", "verdict": "would_do", "reason": "would cordon", "decided_ns": 21 * SECOND}
        return {"incident": mine, "findings": [finding], "decisions": [decision] if self.looks > 2 else []}


def test_what_follows_is_told_once_with_the_seconds_since() -> None:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    client = cast("AgentClient", Agent())
    lines = list(follow(client, Laid(10 * SECOND), {"INC-A": SECOND}, 3.0, now=lambda: now[0], sleep=sleep))

    assert lines == [
        "  +1.0 s  finding   gpu_lost: lost",
        "  +2.0 s  incident  INC-B open: the card is lost",
        " +11.0 s  decision  would do: would cordon",
    ]
