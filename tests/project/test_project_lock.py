"""The pins: whole, hashed, without an address or a path, and in step with pyproject.toml."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from project_files import ROOT

PIN = re.compile(r"([a-z0-9-]+)==([\w.+!]+)(?: ; [\w .'<>=!()]+)? \\")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}(?: \\)?")
FILES = ("collector", "agent", "dev")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = {name: [Requirement(line) for line in lines] for name, lines in PROJECT["optional-dependencies"].items()}
BASE = [Requirement(line) for line in PROJECT["dependencies"]]
WANTED = {"collector": BASE, "agent": BASE + EXTRAS["agent"], "dev": BASE + EXTRAS["agent"] + EXTRAS["dev"]}


def lines_of(name: str) -> list[str]:
    return (ROOT / "requirements" / f"{name}.txt").read_text().splitlines()


def pins_of(name: str) -> dict[str, str]:
    return {found[1]: found[2] for line in lines_of(name) if (found := PIN.fullmatch(line))}


@pytest.mark.parametrize("name", FILES)
def test_a_lock_file_holds_pins_and_hashes_and_nothing_else(name: str) -> None:
    assert [line for line in lines_of(name) if not PIN.fullmatch(line) and not HASH.fullmatch(line)] == []


@pytest.mark.parametrize("name", FILES)
def test_every_pin_has_a_hash(name: str) -> None:
    lines = lines_of(name)
    bare = [line for line, after in zip(lines, [*lines[1:], ""]) if PIN.fullmatch(line) and not HASH.fullmatch(after)]

    assert bare == []


@pytest.mark.parametrize("name", FILES)
def test_a_lock_file_pins_what_pyproject_asks_for(name: str) -> None:
    pins = pins_of(name)
    asked = [need for need in WANTED[name] if need.name != PROJECT["name"]]

    assert [
        str(need) for need in asked if not need.specifier.contains(pins.get(canonicalize_name(need.name), ""))
    ] == []


def test_the_three_lock_files_agree() -> None:
    collector, agent, dev = (pins_of(name).items() for name in FILES)

    assert collector <= agent <= dev
