"""What is open now, by origin and kind, for the metrics."""

from collections import Counter

from agent.watch import Changes
from detectors.model import Finding, Incident, IncidentState


class Tally:
    """Open findings and incidents. Written by the worker thread; read by whoever asks, a moment old at worst."""

    def __init__(self) -> None:
        self._findings: dict[str, tuple[str, str]] = {}
        self._incidents: dict[str, tuple[str, str]] = {}

    def note(self, changes: Changes) -> None:
        """Take in what a tick changed."""
        for finding in changes.findings:
            self._note_finding(finding)
        for incident in changes.incidents:
            self._note_incident(incident)

    def findings(self) -> Counter[tuple[str, str]]:
        """(origin, kind) to how many are open."""
        return Counter(list(self._findings.values()))

    def incidents(self) -> Counter[tuple[str, str]]:
        """(origin, kind of the root) to how many are not resolved."""
        return Counter(list(self._incidents.values()))

    def _note_finding(self, finding: Finding) -> None:
        if finding.cleared_ns is None:
            self._findings[finding.id] = (finding.origin.value, finding.kind.value)
        else:
            self._findings.pop(finding.id, None)

    def _note_incident(self, incident: Incident) -> None:
        if incident.state is IncidentState.RESOLVED:
            self._incidents.pop(incident.id, None)
        else:
            self._incidents[incident.id] = (incident.origin.value, incident.kind.value)
