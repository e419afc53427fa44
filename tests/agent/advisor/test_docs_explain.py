"""docs/explain.md lists the parts and the confidences that there are."""

import re
from pathlib import Path

from agent.advisor.explain import CONFIDENCES, Explanation

DOCS = (Path(__file__).parents[3] / "docs/explain.md").read_text()


def test_the_page_lists_every_part_and_every_confidence() -> None:
    listed = set(re.findall(r"^\| `([^`]+)` \|", DOCS, re.MULTILINE))

    assert {*Explanation.__struct_fields__, *CONFIDENCES} == listed
