"""The deterministic diagnosis: always there, no model asked, the same for the same incident."""

from collections.abc import Sequence
from datetime import UTC, datetime

from agent.advisor.explain.case import Case, quoted
from agent.advisor.explain.kinds import EXPLAINERS
from agent.advisor.explain.model import CONFIDENCES, Explanation
from detectors.correlation import where
from detectors.correlation.title import EFFECT
from detectors.model import Finding, Incident, IncidentState
from policies.model import ActionKind, Decision, Verdict


def explain(incident: Incident, findings: Sequence[Finding], decisions: Sequence[Decision]) -> Explanation:
    """Explain an incident from its findings and decisions; both may hold those of other incidents too.

    Without its root finding (an incident that was merged into another) it says only what the incident itself says.
    """
    held = {finding.id: finding for finding in findings}
    own = tuple(held[finding_id] for finding_id in incident.findings if finding_id in held)
    about = tuple(
        sorted(
            (d for d in decisions if d.incident == incident.id), key=lambda decision: (decision.decided_ns, decision.id)
        )
    )
    if not own or own[0].id != incident.root:
        because = quoted(incident.resolved_because) or "its findings are not at hand"
        return Explanation(f"{incident.title}. {because[:1].upper()}{because[1:]}.", (), (), ())
    case = Case(incident, own, about)
    words = EXPLAINERS[case.root.kind](case)
    return Explanation(
        summary=_summary(case),
        causes=tuple(sorted(words.causes, key=lambda cause: CONFIDENCES.index(cause.confidence))),
        check_next=words.check_next,
        do=(*_decided(about), *words.do),
    )


def references(findings: Sequence[Finding]) -> frozenset[str]:
    """Every reference that an explanation of these findings may cite; what is not in here was made up."""
    whole = {finding.id for finding in findings}
    pieces = {f"{finding.id}#{place}" for finding in findings for place in range(len(finding.evidence))}
    return frozenset(whole | pieces)


def _summary(case: Case) -> str:
    incident = case.incident
    sentences = [incident.title, quoted(case.root.summary), f"Since {_clock(incident.since_ns)}"]
    again = [f for f in case.findings[1:] if (f.kind, f.subject) == (case.root.kind, case.root.subject)]
    if again:
        latest = max(again, key=lambda finding: (finding.since_ns, finding.id))
        sentences.append(f"Again since {_clock(latest.since_ns)}: {quoted(latest.summary)}")
    if followed := _followed(case):
        sentences.append(followed)
    if incident.state is IncidentState.RESOLVED and incident.resolved_ns is not None:
        because = quoted(incident.resolved_because)
        sentences.append(f"Resolved at {_clock(incident.resolved_ns)}" + (f": {because}" if because else ""))
    elif case.decisions:
        sentences.append(f"Decided: {quoted(case.decisions[-1].reason)}")
    return ". ".join(sentences) + "."


def _followed(case: Case) -> str:
    """What the incident holds besides its root: consequences, no causes."""
    later = [finding for finding in case.findings[1:] if finding.kind in EFFECT and finding.kind is not case.root.kind]
    told = [f"{EFFECT[finding.kind]} on {where(finding)} {_after(case.root, finding)}" for finding in later[:5]]
    more = [f"and {len(later) - 5} more"] if len(later) > 5 else []
    return f"Consequences: {'; '.join(told + more)}" if told else ""


def _after(root: Finding, finding: Finding) -> str:
    seconds = (finding.since_ns - root.since_ns) / 1e9
    return f"{seconds:.0f} s later" if seconds >= 1 else "at the same time"


def _decided(decisions: Sequence[Decision]) -> tuple[str, ...]:
    """What the policy would do, as the first thing to do; telling people is done by reading this."""
    if not decisions or decisions[-1].verdict is Verdict.NOTHING:
        return ()
    last = decisions[-1]
    steps = [
        f"{action.kind.value.replace('_', ' ')} {quoted(action.target_name)}"
        for action in last.actions
        if action.kind is not ActionKind.NOTIFY
    ]
    if not steps:
        return ()
    against = "; ".join(quoted(word.reason) for word in last.guards if not word.allows)
    return (f"policy rule {last.rule}: {', '.join(steps)}" + (f" (not done: {against})" if against else ""),)


def _clock(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
