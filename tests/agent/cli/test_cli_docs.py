from pathlib import Path

import pytest

from agent.api.openapi import api_routes
from agent.cli import exit_codes
from agent.cli.main import command_files
from agent.cli.reference import BEGIN, END, reference, renewed

DOCS = Path(__file__).parents[3] / "docs"


def test_the_page_lists_every_command_and_option_as_the_parsers_have_them() -> None:
    page = (DOCS / "cli.md").read_text()

    assert page == renewed(page), "renew it: python -m agent.cli.reference docs/cli.md"


@pytest.fixture(scope="module")
def made() -> str:
    return reference()


@pytest.mark.parametrize("name", command_files())
def test_every_command_has_a_section(made: str, name: str) -> None:
    assert f"\n## watchstander {name}\n" in made


def test_every_exit_code_has_a_meaning() -> None:
    codes = {value for value in vars(exit_codes).values() if isinstance(value, int)}

    assert set(exit_codes.MEANINGS) == codes


def test_a_page_without_a_place_for_the_reference_is_refused() -> None:
    with pytest.raises(ValueError, match="no place"):
        renewed(f"{END} {BEGIN}")


def test_every_operation_of_the_api_is_in_its_page() -> None:
    page = (DOCS / "api.md").read_text()

    missing = [f"`{r.operation.method} {r.operation.path}`" for r in api_routes()]
    assert [line for line in missing if line not in page] == []
