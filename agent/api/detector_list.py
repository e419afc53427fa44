"""What the detectors look for and need, read from the registry: for the API and for `watchstander detectors`."""

import inspect
from typing import Any

import msgspec

from detectors.model import FindingKind


class DetectorShape(msgspec.Struct, frozen=True):
    """One detector as people may want to know it."""

    name: str
    kinds: list[FindingKind]
    metrics: list[str]
    """Readings that it needs; until it has them it is "not ready", never "healthy"."""
    events: list[str]
    history_seconds: float
    history_steps: int
    summary: str
    """First paragraph of its own words, on one line."""
    description: str
    """All of them: signals, units, where it fails, and the source of each threshold."""


def known_detectors() -> list[DetectorShape]:
    """Every registered detector, by name."""
    from detectors.registry import DETECTORS  # numpy comes with it; version and completion have no need of that

    return sorted((_shape(detector) for detector in DETECTORS), key=lambda shape: shape.name)


def _shape(detector: Any) -> DetectorShape:
    kind = detector if isinstance(detector, type) else type(detector)
    description = inspect.getdoc(kind) or ""
    if not description or description.startswith(f"{kind.__name__}("):  # a dataclass without words of its own
        description = inspect.getdoc(inspect.getmodule(kind)) or ""
    return DetectorShape(
        name=kind.__name__,
        kinds=list(detector.kinds),
        metrics=list(detector.needs.metrics),
        events=[event.value for event in detector.needs.events],
        history_seconds=detector.needs.history_seconds,
        history_steps=detector.needs.history_steps,
        summary=" ".join(description.partition("\n\n")[0].split()),
        description=description,
    )
