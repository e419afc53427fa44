"""Incidents for policies: an uncorrectable error on GPU 3 of node a, and whatever a test makes of it."""

from collectors.model import Origin, Subject, SubjectFacts, SubjectKind
from detectors.correlation import Correlator
from detectors.model import Evidence, Finding, FindingKind, Incident, Inventory, Severity

SECOND = 1_000_000_000
NODE = Subject("c", SubjectKind.NODE, "uid-a")
GPU = Subject("c", SubjectKind.GPU, "GPU-3")
JOB = Subject("c", SubjectKind.JOB, "uid-b")
NAMES = {"node": "a", "gpu": "3", "rank": "3", "job": "b"}


def inventory() -> Inventory:
    known = Inventory()
    for facts in (
        SubjectFacts(NODE, "a"),
        SubjectFacts(GPU, "GPU 3", NODE, {"index": "3", "job": "uid-b", "rank": "3"}),
        SubjectFacts(JOB, "b"),
    ):
        known.facts[facts.subject] = facts
    return known


def evidence(source: str, at: float = 100, *, xid: int | None = None) -> Evidence:
    if xid is not None:
        return Evidence(f"Xid {xid}", int(at * SECOND), metric="xid", value=float(xid), source=source)
    return Evidence("3 errors", int(at * SECOND), metric="gpu_ecc_uncorrected_errors_total", value=3.0, source=source)


def finding(
    kind: FindingKind = FindingKind.ECC_UNCORRECTABLE,
    *items: Evidence,
    since: float = 100,
    subject: Subject = GPU,
    severity: Severity = Severity.CRITICAL,
    origin: Origin = Origin.LIVE,
    confidence: float = 0.95,
    cleared: float | None = None,
    names: dict[str, str] | None = None,
    related: tuple[Subject, ...] = (NODE, JOB),
) -> Finding:
    return Finding(
        id=f"F-{kind.value}-{since:g}",
        kind=kind,
        subject=subject,
        severity=severity,
        opened_ns=int(since * SECOND),
        since_ns=int(since * SECOND),
        confidence=confidence,
        summary=f"{kind.value} of GPU 3",
        origin=origin,
        evidence=items,
        cleared_ns=None if cleared is None else int(cleared * SECOND),
        related=tuple(r for r in related if r != subject),
        names=NAMES if names is None else names,
    )


def ecc(*sources: str, **more) -> Finding:
    return finding(FindingKind.ECC_UNCORRECTABLE, *(evidence(source) for source in sources), **more)


def xid(code: int, *sources: str, **more) -> Finding:
    return finding(FindingKind.XID, *(evidence(source, xid=code) for source in sources), **more)


def crash(**more) -> Finding:
    return finding(FindingKind.JOB_CRASH, evidence("training_log", 110), since=110, subject=JOB, **more)


def incident(*findings: Finding, now: float = 130) -> Incident:
    correlator = Correlator("c")
    correlator.update(findings, int(now * SECOND))
    (made,) = correlator.unresolved
    return made
