"""Dated statements about subjects."""

from dataclasses import dataclass

from collectors.model import Subject
from detectors.inventory.sources import Source


@dataclass(frozen=True, slots=True)
class Fact:
    """One value of one attribute, and the time for which it held."""

    value: str
    since_ns: int
    """Since when it is known, Unix ns by the agent's clock; it may have been so before."""
    source: Source | None
    """Who says so; None where a past value's source is no longer at hand."""
    until_ns: int | None = None
    """When another value took its place; None while it holds."""


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Two sources state different values; one is believed, none is hidden."""

    subject: Subject
    name: str
    """How people call the subject."""
    key: str
    believed: Source
    value: str
    other: Source
    other_value: str
    since_ns: int

    def __str__(self) -> str:
        return (
            f"{self.subject.kind.value} {self.name}: {self.key} is {self.value!r} by {self.believed.value}, "
            f"{self.other_value!r} by {self.other.value}; the former is believed"
        )


@dataclass(frozen=True, slots=True)
class Gone:
    """A subject that the cluster no longer has: deleted, scaled down, replaced."""

    since_ns: int
    because: str
