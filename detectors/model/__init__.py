"""The types that floor 2 owns and hands up: Finding, Incident, and the inventory they lean on."""

from detectors.model.finding import Evidence, Finding
from detectors.model.incident import Incident, IncidentState, Word, WordKind
from detectors.model.inventory import Inventory
from detectors.model.kinds import FindingKind, Layer, Severity

__all__ = [
    "Evidence",
    "Finding",
    "FindingKind",
    "Incident",
    "IncidentState",
    "Inventory",
    "Layer",
    "Severity",
    "Word",
    "WordKind",
]
