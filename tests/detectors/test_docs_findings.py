"""docs/findings.md describes every kind of finding, and none that does not exist."""

import re
from pathlib import Path

import pytest

from detectors.model import FindingKind, Severity

DOCS = (Path(__file__).parents[2] / "docs/findings.md").read_text()
SECTIONS = dict(re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", DOCS, re.MULTILINE | re.DOTALL))


def test_the_page_describes_every_kind_and_no_other() -> None:
    assert {kind.value for kind in FindingKind} == set(SECTIONS)


@pytest.mark.parametrize("kind", FindingKind)
def test_every_kind_says_what_it_means_its_signals_what_clears_it_and_what_to_do(kind) -> None:
    meaning, *points = SECTIONS[kind.value].strip().split("\n- ")

    assert len(meaning.split()) >= 3
    assert [point.split(":")[0] for point in points] == ["**Signals**", "**Clears**", "**Severity**", "**Do**"]
    assert any(severity.value in points[2] for severity in Severity)
