"""One line of a detector's look: a quantity, what it is held against, and what follows."""

from enum import StrEnum
from math import isfinite

import msgspec

from collectors.model import Subject
from detectors.model import FindingKind


class Verdict(StrEnum):
    """What one quantity means for its detector."""

    NO_DATA = "no data"
    """The reading, event or log line was not there."""
    NOT_READY = "not ready"
    """It was there, and not enough of it had been seen to judge by: never "healthy"."""
    CLEAR = "clear"
    """Judged, and on the healthy side of its threshold."""
    BEYOND = "beyond"
    """Beyond its threshold. One such quantity rarely opens anything: see the others of its detector."""
    OPEN = "open"
    """A finding of this kind is open about the subject or its job."""
    WAITS = "waits"
    """It needs no reading: it speaks when the event comes."""


class LookRow(msgspec.Struct, frozen=True):
    """One quantity of one detector about one subject at one moment."""

    detector: str
    kinds: tuple[FindingKind, ...]
    subject: Subject
    quantity: str
    """In words, with its metric where it is one."""
    value: float | None
    """None where there is none."""
    threshold: float | None
    """What it is held against; None where the quantity only tells."""
    unit: str
    age_s: float | None
    """Of the value, seconds; None where that means nothing."""
    verdict: Verdict
    says: str
    """The rule in words: which side is healthy, how often it must be seen."""


def number(value: float) -> float | None:
    """A figure, or None for one that stands for "missing"."""
    return float(value) if isfinite(value) else None


def side(value: float | None, threshold: float, *, beyond_above: bool) -> Verdict:
    """CLEAR or BEYOND; NO_DATA for a missing value. The threshold itself is beyond."""
    if value is None:
        return Verdict.NO_DATA
    beyond = value >= threshold if beyond_above else value <= threshold
    return Verdict.BEYOND if beyond else Verdict.CLEAR
