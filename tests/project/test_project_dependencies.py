"""Every declared dependency is used, and every imported package is declared for where it is imported."""

import ast
import sys
import tomllib
from functools import cache
from importlib.metadata import packages_distributions

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from project_files import PACKAGES, ROOT, python_files, text_of

pytestmark = pytest.mark.slow  # every file is parsed
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NOT_IMPORTED = {
    "uvloop": "uvicorn takes it by itself",
    "httptools": "uvicorn takes it by itself",
    "psycopg": "SQLAlchemy loads it by the store's URL",
    "pyyaml": "msgspec.yaml reads through it",
    "nvidia-ml-py": "the NVML child loads it by name, so that the collector starts where there is none",
}
"""Dependencies that no import statement of ours names, and who loads them."""
BROUGHT = {"sqlalchemy": "sqlmodel", "pydantic": "sqlmodel", "markupsafe": "jinja2"}
"""Packages that come with a declared one and are part of its face."""


def declared(lines: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(line).name) for line in lines}


@cache
def imported(*folders: str) -> dict[str, str]:
    """Distributions that these packages import, each with a file that does."""
    distributions = packages_distributions()
    found: dict[str, str] = {}
    for path in python_files(*folders):
        for node in ast.walk(ast.parse(text_of(path) or "")):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            for name in names:
                top = name.partition(".")[0]
                if top not in sys.stdlib_module_names and top not in PACKAGES:
                    for distribution in distributions.get(top, [top]):
                        found.setdefault(canonicalize_name(distribution), str(path))
    return found


BASE = declared(PROJECT["dependencies"])
AGENT = declared(PROJECT["optional-dependencies"]["agent"])


def test_collectors_import_the_base_dependencies_and_no_other() -> None:
    assert {name: path for name, path in imported("collectors").items() if name not in BASE} == {}


def test_the_agent_imports_only_what_it_declares() -> None:
    known = BASE | AGENT | BROUGHT.keys()

    assert {name: path for name, path in imported(*PACKAGES).items() if name not in known} == {}


@pytest.mark.parametrize("name", sorted(BASE | AGENT))
def test_every_dependency_is_used(name: str) -> None:
    assert name in imported(*PACKAGES) or name in NOT_IMPORTED


def test_every_dependency_says_what_it_costs_and_why() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    names = BASE | AGENT
    lines = [line for line in text.splitlines() if line.startswith('  "') and "#" in line]

    bare = {name for name in names if not any(f'"{name}' in line.lower() and " MB" in line for line in lines)}
    assert set() == bare
