"""How near each detector is to speaking about a subject, read from what it knows, without changing it."""

from detectors.looks.explain import explain_look
from detectors.looks.row import LookRow, Verdict

__all__ = ["LookRow", "Verdict", "explain_look"]
