"""What holds for every file of the repository."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from project_files import PACKAGES, ROOT, python_files, text_of, tracked

LARGEST_BYTES = 2**20
LONGEST_LINES = 500
# Written in pieces, so that this file does not hold what it looks for.
PLACES = re.compile(r"(?<![\w./~-])/(?:home|root|work|Users|mnt)" + r"/[\w.-]+")
REGISTRIES = re.compile("|".join(("pypi" + r"\.org", "python" + "hosted", "npm" + r"js\.org", "proxy" + r"\.golang")))


def definitions(path: Path) -> Iterator[tuple[str, ast.AST]]:
    """The module and every public class, function and method in it, each with its name."""
    module = ast.parse(text_of(path) or "")
    if module.body:
        yield str(path), module
    waiting: list[tuple[str, ast.AST]] = [(str(path), module)]
    while waiting:
        where, node = waiting.pop()
        for child in ast.iter_child_nodes(node):
            public = isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            if not public or child.name.startswith("_"):
                continue
            name = f"{where}:{child.name}"
            yield name, child
            if isinstance(child, ast.ClassDef):
                waiting.append((name, child))


def test_git_lists_the_files_that_these_tests_look_at() -> None:
    assert {Path("README.md"), Path("pyproject.toml"), Path("agent/watch.py")} <= set(tracked())


def test_no_tracked_file_is_larger_than_a_mebibyte() -> None:
    assert [str(path) for path in tracked() if (ROOT / path).stat().st_size > LARGEST_BYTES] == []


def test_no_python_file_is_longer_than_500_lines() -> None:
    long = {str(path): len((text_of(path) or "").splitlines()) for path in python_files()}

    assert {path: lines for path, lines in long.items() if lines > LONGEST_LINES} == {}


@pytest.mark.parametrize("pattern", [pytest.param(PLACES, id="paths"), pytest.param(REGISTRIES, id="registries")])
def test_no_file_mentions_somebody_s_machine_or_a_registry(pattern: re.Pattern[str]) -> None:
    texts = ((path, text_of(path)) for path in tracked())

    assert [f"{path}: {found}" for path, text in texts if text for found in pattern.findall(text)] == []


@pytest.mark.parametrize("package", [*PACKAGES, "testcluster"])
def test_everything_public_has_a_docstring(package: str) -> None:
    found = [(name, node) for path in python_files(package) for name, node in definitions(path)]

    assert [name for name, node in found if not ast.get_docstring(node)] == []
    assert len(found) > 20


@pytest.mark.parametrize("package", [*PACKAGES, "testcluster"])
def test_every_package_says_that_it_is_typed(package: str) -> None:
    assert Path(package, "py.typed") in tracked()


def test_test_files_have_names_of_their_own() -> None:
    names = [path.name for path in python_files("tests") if path.name not in ("conftest.py", "__init__.py")]

    assert sorted({name for name in names if names.count(name) > 1}) == []


def test_every_marker_and_package_is_configured() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())

    assert list(PACKAGES) == config["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert list(PACKAGES) == config["tool"]["importlinter"]["root_packages"]
    assert [*PACKAGES, "testcluster"] == config["tool"]["mypy"]["packages"]
