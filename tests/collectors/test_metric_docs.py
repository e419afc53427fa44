"""docs/metrics.md and the catalogue say the same."""

from pathlib import Path

from collectors.metric_docs import render
from collectors.model import CATALOGUE

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"


def test_the_page_is_what_the_catalogue_gives():
    assert PAGE.read_text() == render(), "run: python -m collectors.metric_docs > docs/metrics.md"


def test_every_metric_that_may_be_sent_is_on_the_page():
    page = render()
    assert [name for name in CATALOGUE if f"`{name.removesuffix('_min').removesuffix('_max')}`" not in page] == []
