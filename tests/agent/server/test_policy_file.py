"""The policy file is followed; a wrong one costs one line and changes nothing."""

import logging
import os
from pathlib import Path

import pytest

from agent.server.policy_file import PolicyFile
from collectors.errors import FixConfiguration

GOOD = "version: 1\nrules:\n  - {name: NAME, description: d, actions: [notify]}\n"


def write(path: Path, text: str, at: int) -> None:
    """As editors and kubelets do: a new file in place of the old one."""
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    os.utime(fresh, ns=(at, at))
    fresh.replace(path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write(tmp_path / "policy.yaml", GOOD.replace("NAME", "first"), 1)
    return tmp_path / "policy.yaml"


def names(file: PolicyFile) -> list[str]:
    return [compiled.rule.name for compiled in file.policy.rules]


def test_a_wrong_file_stops_the_start(path) -> None:
    write(path, "version: 1\nrules: [", 2)

    with pytest.raises(FixConfiguration, match=r"policy\.yaml:2"):
        PolicyFile(str(path))


def test_a_change_is_adopted_and_told_once(path) -> None:
    told = []
    file = PolicyFile(str(path), adopted=told.append)
    write(path, GOOD.replace("NAME", "second"), 2)
    file.poll()
    file.poll()

    assert (names(file), file.reloads, len(told)) == (["second"], 1, 1)


def test_a_half_written_file_keeps_the_old_one_in_force_until_it_is_whole(path, caplog) -> None:
    file = PolicyFile(str(path))
    whole = GOOD.replace("NAME", "second")
    write(path, whole[:40], 2)
    with caplog.at_level(logging.ERROR):
        file.poll()
        file.poll()
    kept = names(file)
    said = [record.getMessage() for record in caplog.records]
    write(path, whole, 3)
    file.poll()

    assert kept == ["first"]
    assert len(said) == 1
    assert said[0].startswith(f"policy: {path}:")
    assert said[0].endswith("; the one before stays in force")
    assert (names(file), file.problem, file.refused, file.reloads) == (["second"], "", 1, 1)


def test_a_file_that_goes_away_and_comes_back_costs_nothing(path) -> None:
    file = PolicyFile(str(path))
    text = path.read_text()
    path.unlink()
    file.poll()
    gone = file.problem
    write(path, text, 5)
    file.poll()

    assert "cannot be read" in gone
    assert (file.problem, names(file), file.reloads) == ("", ["first"], 0)


def test_the_policy_that_ships_is_never_looked_at_again() -> None:
    file = PolicyFile()
    file.poll()

    assert (file.problem, file.refused) == ("", 0)
