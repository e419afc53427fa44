"""Findings by the handful: one cluster, two nodes of eight GPUs, one job a node."""

from collections.abc import Callable

import pytest

from collectors.model import Origin, Subject, SubjectKind
from detectors.model import Evidence, Finding, FindingKind, Severity

SECOND = 1_000_000_000
Make = Callable[..., Finding]


def gpu(index: int, node: str = "a") -> Subject:
    return Subject("c", SubjectKind.GPU, f"GPU-{node}-{index}")


def job(name: str = "train") -> Subject:
    return Subject("c", SubjectKind.JOB, f"uid-{name}")


def node(name: str = "a") -> Subject:
    return Subject("c", SubjectKind.NODE, f"uid-{name}")


def finding(
    kind: FindingKind,
    subject: Subject | int,
    since: float,
    *,
    on: str = "a",
    of: str | None = "train",
    severity: Severity = Severity.WARNING,
    cleared: float | None = None,
    codes: tuple[int, ...] = (),
    origin: Origin = Origin.LIVE,
) -> Finding:
    """A finding `since` seconds after the epoch, known 10 s later; an int as subject is a GPU of node `on`."""
    names = {"node": on} | ({"job": of} if of else {})
    if isinstance(subject, int):
        names |= {"gpu": str(subject), "rank": str(subject)}
        subject = gpu(subject, on)
    related = (node(on), *((job(of),) if of else ()))
    return Finding(
        id=f"F-{kind.value}-{subject.id}-{since:g}",
        kind=kind,
        subject=subject,
        severity=severity,
        opened_ns=int((since + 10) * SECOND),
        since_ns=int(since * SECOND),
        confidence=0.9,
        summary=f"{kind.value} on {subject.id}",
        origin=origin,
        evidence=tuple(
            Evidence(text=f"Xid {code}", time_ns=int(since * SECOND), metric="xid", value=float(code)) for code in codes
        ),
        cleared_ns=None if cleared is None else int(cleared * SECOND),
        cleared_because="" if cleared is None else "back to its habit",
        related=tuple(r for r in related if r != subject),
        names=names,
    )


@pytest.fixture
def make() -> Make:
    return finding
