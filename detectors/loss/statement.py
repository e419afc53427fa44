"""How the loss detectors word what they state."""

from collectors.model import Subject
from detectors.contract import Opening
from detectors.loss.line import Line
from detectors.model import Evidence, FindingKind, Severity


def evidence(line: Line, text: str, value: float | None = None, expected: float | None = None) -> Evidence:
    """One observation read from a training log."""
    return Evidence(
        text=text,
        time_ns=line.time_ns,
        metric="training_step",
        value=value,
        expected=expected,
        source="training_log",
        line=line.event.line,
    )


def opening(
    kind: FindingKind,
    subject: Subject,
    since_ns: int,
    severity: Severity,
    confidence: float,
    summary: str,
    *seen: Evidence,
) -> Opening:
    """A statement about a job."""
    return Opening(
        kind=kind,
        subject=subject,
        since_ns=since_ns,
        severity=severity,
        confidence=confidence,
        summary=summary,
        evidence=seen,
    )
