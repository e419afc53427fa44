"""The agent's own health as Prometheus text. docs/operations-metrics.md describes each; a test holds the two together.

Only numbers and words of ours are labels, never names that come from outside: cardinality stays bounded and nothing
secret or hostile gets in.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

Sample = tuple[dict[str, str], float]
"""Labels and value."""


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: name, type, help, and where its samples come from."""

    name: str
    type: str
    help: str
    read: Callable[[], Iterable[Sample]]


def plain(read: Callable[[], float]) -> Callable[[], Iterable[Sample]]:
    """A family of a single sample without labels."""
    return lambda: [({}, float(read()))]


def by(label: str, read: Callable[[], Iterable[tuple[str, float]]]) -> Callable[[], Iterable[Sample]]:
    """A family with one label."""
    return lambda: [({label: key}, float(value)) for key, value in read()]


class Metrics:
    """All families of this agent, registered by those who know the numbers."""

    def __init__(self) -> None:
        self._families: dict[str, Family] = {}

    def counter(self, name: str, help: str, read: Callable[[], Iterable[Sample]]) -> None:
        """A number that only grows while the agent runs; `name` ends in `_total`."""
        self._add(Family(name, "counter", help, read))

    def gauge(self, name: str, help: str, read: Callable[[], Iterable[Sample]]) -> None:
        """A number as it is now."""
        self._add(Family(name, "gauge", help, read))

    def families(self) -> list[Family]:
        """All of them, by name."""
        return sorted(self._families.values(), key=lambda family: family.name)

    def text(self) -> str:
        """The exposition format, version 0.0.4."""
        lines: list[str] = []
        for family in self.families():
            lines += [f"# HELP {family.name} {family.help}", f"# TYPE {family.name} {family.type}"]
            lines += [f"{family.name}{_labels(labels)} {_number(value)}" for labels, value in family.read()]
        return "\n".join(lines) + "\n"

    def _add(self, family: Family) -> None:
        if family.name in self._families:
            raise ValueError(f"metric {family.name} is registered twice")
        self._families[family.name] = family


def _labels(labels: dict[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{key}="{_escaped(value)}"' for key, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(value)
