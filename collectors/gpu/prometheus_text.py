"""Reads the Prometheus text format, as far as an exporter writes it: one sample a line, with labels."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

_SAMPLE = re.compile(r"([A-Za-z_:][A-Za-z0-9_:]*)\s*(\{.*\})?\s+(\S+)(?:\s+-?\d+)?\s*\Z", re.ASCII)
_LABEL = re.compile(r'\s*([A-Za-z_][A-Za-z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(?:,|\Z)', re.ASCII)
_ESCAPE = re.compile(r"\\(.)")
_ESCAPES = {"n": "\n"}
MOST_LINE_CHARACTERS = 8192


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample; a time stamp behind the value is not kept."""

    name: str
    labels: dict[str, str]
    value: float


def read_samples(text: str, prefix: str = "") -> Iterator[Sample]:
    """The samples whose names begin with `prefix`; lines that are no sample are passed over."""
    for line in text.split("\n"):
        if not line.startswith(prefix) or line.startswith("#") or len(line) > MOST_LINE_CHARACTERS:
            continue
        found = _SAMPLE.match(line)
        if found is None:
            continue
        name, inside, number = found.groups()
        labels = _labels(inside[1:-1]) if inside else {}
        value = _number(number)
        if labels is not None and value is not None:
            yield Sample(name, labels, value)


def _labels(inside: str) -> dict[str, str] | None:
    labels: dict[str, str] = {}
    at = 0
    while at < len(inside):
        found = _LABEL.match(inside, at)
        if found is None:
            return None if inside[at:].strip() else labels
        labels[found.group(1)] = _ESCAPE.sub(lambda one: _ESCAPES.get(one.group(1), one.group(1)), found.group(2))
        at = found.end()
    return labels


def _number(text: str) -> float | None:
    """`NaN` and `+Inf` are numbers in this format."""
    try:
        return float(text)
    except ValueError:
        return math.nan if text.lower() == "nan" else None
