"""Findings as JSON lines, one a line, for scoring and for programs."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from collectors.errors import FixConfiguration
from detectors.model import Finding


def finding_line(finding: Finding) -> dict[str, Any]:
    """One finding: `kind`, `opened_at`, `since`, `cleared_at` (Unix s or null), `subject` by name, its evidence.

    `subject` holds `node`, `gpu` (index), `rank` and `job`, each where known; index and rank are numbers.
    """
    return {
        "id": finding.id,
        "kind": finding.kind.value,
        "opened_at": finding.opened_ns / 1e9,
        "since": finding.since_ns / 1e9,
        "cleared_at": None if finding.cleared_ns is None else finding.cleared_ns / 1e9,
        "subject": named_subject(finding.names),
        "severity": finding.severity.value,
        "confidence": finding.confidence,
        "summary": finding.summary,
        "evidence": [evidence.text for evidence in finding.evidence],
    }


def named_subject(names: Mapping[str, str]) -> dict[str, Any]:
    """A finding's or an incident's names for JSON: index and rank as numbers."""
    subject: dict[str, Any] = dict(names)
    for key in ("gpu", "rank"):
        if str(subject.get(key, "")).isdigit():
            subject[key] = int(subject[key])
    return subject


def check_writable(path: Path) -> None:
    """FixConfiguration where a file cannot be written there: before the work whose fruit it is to hold, not after."""
    try:
        there = path.exists()
        with path.open("a"):
            pass
        if not there:
            path.unlink()
    except OSError as error:
        raise FixConfiguration(f"{path}: cannot be written ({error.strerror}); name another file") from None


def write_findings(path: Path, findings: Iterable[Finding]) -> None:
    """Write them in the order in which they opened; FixConfiguration where the file cannot be written."""
    lines = [json.dumps(finding_line(f)) for f in sorted(findings, key=lambda f: (f.opened_ns, f.id))]
    try:
        path.write_text("".join(line + "\n" for line in lines))
    except OSError as error:
        raise FixConfiguration(f"{path}: cannot be written ({error.strerror}); name another file") from None
