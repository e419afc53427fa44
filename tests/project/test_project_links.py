"""Links in the documentation lead somewhere, and every page can be found."""

import re
from functools import cache
from pathlib import Path

import pytest
from project_files import ROOT, text_of, tracked

PAGES = [path for path in tracked() if path.suffix == ".md"]
LINK = re.compile(r"!?\[[^\]]*\]\(([^()\s]+)\)")


def prose(page: Path) -> str:
    """The page without its code."""
    text = re.sub(r"^```.*?^```$", "", text_of(page) or "", flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`", "", text)


def links(page: Path) -> list[str]:
    return [link for link in LINK.findall(prose(page)) if not re.match(r"[a-z]+:", link)]


@cache
def anchors(page: Path) -> frozenset[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```$", "", (ROOT / page).read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+?)\s*$", text, flags=re.MULTILINE)
    return frozenset(re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings)


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    broken = []
    for link in links(page):
        name, _, anchor = link.partition("#")
        target = (ROOT / page.parent / name).resolve() if name else ROOT / page
        if not target.exists() or (anchor and anchor not in anchors(target.relative_to(ROOT))):
            broken.append(link)

    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_page_that_is_named_in_the_text_is_there(page: Path) -> None:
    named = set(re.findall(r"(?<![\w/.-])(?:docs|recordings)/[\w/-]+\.md", text_of(page) or ""))

    assert sorted(name for name in named if not (ROOT / name).exists()) == []


def test_every_page_of_the_docs_is_in_their_index() -> None:
    index = {link.partition("#")[0] for link in links(Path("docs/README.md"))}
    pages = {path.name for path in PAGES if path.parts[0] == "docs"} - {"README.md"}

    assert sorted(pages - index) == []


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_the_first_pages_lead_to_all_the_others(page: str) -> None:
    assert {"docs/README.md", "docs/architecture.md", "docs/thin.md"} <= set(links(Path(page)))


def test_every_picture_of_the_docs_is_shown_somewhere_and_light() -> None:
    pictures = {path for path in tracked() if path.parts[:2] == ("docs", "images")}
    shown = {(page.parent / link) for page in PAGES for link in links(page)}

    assert sorted(map(str, pictures - shown)) == []
    assert [str(path) for path in pictures if (ROOT / path).stat().st_size > 300_000] == []


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_every_file_that_a_map_names_is_there(page: str) -> None:
    text = text_of(Path(page)) or ""
    named = set(re.findall(r"(?<![\w/])((?:collectors|detectors|policies|agent|tests|benchmarks)/[\w/.]+)", text))
    gone = {name for name in named if not (ROOT / name.rstrip("./")).exists()}

    assert sorted(gone) == []


def test_the_errors_page_names_every_error() -> None:
    names = set(re.findall(r"^class (\w+)", text_of(Path("collectors/errors.py")) or "", flags=re.MULTILINE))

    assert sorted(name for name in names if f"`{name}`" not in (ROOT / "docs/errors.md").read_text()) == []
