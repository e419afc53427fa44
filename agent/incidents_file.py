"""Incidents as JSON lines, one a line, for scoring and for programs."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from agent.findings_file import named_subject
from collectors.errors import FixConfiguration
from detectors.model import Finding, Incident


def incident_line(incident: Incident, findings: Mapping[str, Finding]) -> dict[str, Any]:
    """One incident: `id`, `kind` of its root, `subject` by name, times in Unix s, `kinds` of its findings.

    `subject` holds `node`, `gpu` (index), `rank` and `job` of the root, each where known; `findings` holds kind,
    subject and times of each finding, root first. An incident whose findings went over to another has none.
    """
    members = [findings[i] for i in incident.findings if i in findings]
    return {
        "id": incident.id,
        "kind": incident.kind.value,
        "subject": named_subject(incident.names),
        "opened_at": incident.opened_ns / 1e9,
        "since": incident.since_ns / 1e9,
        "resolved_at": None if incident.resolved_ns is None else incident.resolved_ns / 1e9,
        "kinds": [kind.value for kind in incident.kinds],
        "state": incident.state.value,
        "severity": incident.severity.value,
        "title": incident.title,
        "resolved_because": incident.resolved_because,
        "findings": [
            {
                "kind": f.kind.value,
                "subject": named_subject(f.names),
                "opened_at": f.opened_ns / 1e9,
                "since": f.since_ns / 1e9,
                "cleared_at": None if f.cleared_ns is None else f.cleared_ns / 1e9,
            }
            for f in members
        ],
    }


def write_incidents(path: Path, incidents: Iterable[Incident], findings: Mapping[str, Finding]) -> None:
    """Write them in the order in which they opened; FixConfiguration where the file cannot be written."""
    ordered = sorted(incidents, key=lambda i: (i.opened_ns, i.id))
    try:
        path.write_text("".join(json.dumps(incident_line(i, findings)) + "\n" for i in ordered))
    except OSError as error:
        raise FixConfiguration(f"{path}: cannot be written ({error.strerror}); name another file") from None
