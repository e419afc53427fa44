"""Events around an incident: those about its own subjects, a little before it began until a little after it opened.

Shared by API and web page.
"""

from collections.abc import Iterable, Sequence

from agent.store.store import Store
from collectors.model import Event, EventKind, Subject
from detectors.model import Finding, Incident

BEFORE_NS = 120 * 10**9
AFTER_NS = 60 * 10**9
LONGEST_NS = 30 * 60 * 10**9
"""From the beginning: a collective timeout comes 10 minutes after its cause, restarts a few minutes after that."""
MOST_SUBJECTS = 24
MOST_EVENTS = 200
RHYTHM = frozenset({EventKind.TRAINING_STEP})
"""A job's heartbeat: thousands of lines that say nothing about a fault."""
TOLD = tuple(kind for kind in EventKind if kind not in RHYTHM)


def nearby_events(store: Store, incident: Incident, findings: Sequence[Finding]) -> list[Event]:
    """In order of time, at most MOST_EVENTS."""
    since = incident.since_ns - BEFORE_NS
    last = max([incident.opened_ns, *(finding.opened_ns for finding in findings)])
    until = min(last + AFTER_NS, incident.since_ns + LONGEST_NS)
    found: dict[tuple[object, ...], Event] = {}
    for subject in _subjects(incident, findings):
        for event in store.events(since_ns=since, until_ns=until, subject=subject, kinds=TOLD, limit=MOST_EVENTS):
            found[(event.time_ns, event.kind, event.subject, event.source, event.line)] = event
    return sorted(found.values(), key=lambda event: (event.time_ns, event.kind.value, event.subject))[:MOST_EVENTS]


def _subjects(incident: Incident, findings: Iterable[Finding]) -> list[Subject]:
    ordered = [incident.subject]
    for finding in findings:
        ordered += [finding.subject, *finding.related]
    return list(dict.fromkeys(ordered))[:MOST_SUBJECTS]


def in_causal_order(incident: Incident, findings: Iterable[Finding]) -> list[Finding]:
    """The findings of an incident as it orders them; ids that the store no longer has are left out."""
    by_id = {finding.id: finding for finding in findings}
    return [by_id[id_] for id_ in incident.findings if id_ in by_id]
