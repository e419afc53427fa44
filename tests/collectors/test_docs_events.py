"""docs/events.md describes every kind of event, and what the parsers put into it."""

import doctest
import re
from pathlib import Path
from types import ModuleType

import pytest

from collectors import masking
from collectors.flight_recorder import read_flight_recorder
from collectors.kernel_log import KernelLogParser
from collectors.model import Event, EventKind, Subject, SubjectKind
from collectors.training_log import TrainingLogParser, parser

ROOT = Path(__file__).parents[2]
JOB = Subject("prod", SubjectKind.JOB, "job-1")
NODE = Subject("prod", SubjectKind.NODE, "node-uid")


def sections(page: str) -> dict[str, str]:
    """Text under each heading of the third level, by the heading without backquotes."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    parts = re.split(r"^### `?(\w+)`?$", re.sub(r"^## .*$", "", text, flags=re.MULTILINE), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


def example_lines() -> list[tuple[str, str]]:
    return [
        (kind, line)
        for kind, text in sections("log-formats.md").items()
        for block in re.findall(r"^```\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
        for line in block.splitlines()
    ]


def events_of(line: str) -> list[Event]:
    kernel = KernelLogParser(NODE, lambda address: None, 0).parse(line.encode(), 0)
    return [*TrainingLogParser(JOB).parse(line.encode(), 0), *([kernel] if kernel is not None else [])]


def test_every_kind_of_event_is_described_and_no_other():
    assert set(sections("events.md")) == {kind.value for kind in EventKind}


@pytest.mark.parametrize(("kind", "line"), example_lines())
def test_every_line_in_the_docs_gives_the_event_that_it_stands_under(kind: str, line: str):
    assert kind in [event.kind.value for event in events_of(line)]


def test_every_value_and_attribute_that_the_examples_give_is_described():
    described = sections("events.md")
    events = [event for _, line in example_lines() for event in events_of(line)]
    events += [read_flight_recorder(path, JOB) for path in (ROOT / "recordings").glob("*/nccl_trace_rank_0.pickle")]

    undescribed = {
        (event.kind.value, name)
        for event in events
        for name in (*event.values, *event.attributes)
        if f"`{name.partition('/')[0]}`" not in described[event.kind.value]
    }

    assert undescribed == set()


@pytest.mark.parametrize("module", [masking, parser], ids=lambda module: module.__name__)
def test_the_examples_in_the_docstrings_are_true(module: ModuleType):
    outcome = doctest.testmod(module)

    assert (outcome.failed, outcome.attempted > 0) == (0, True)
