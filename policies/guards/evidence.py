"""How sure: fresh, firm, and from sources that do not lean on one another."""

from detectors.model import FindingKind
from policies.facts import WITNESS
from policies.guards.contract import NS, Guard, GuardContext


class EvidenceGuard(Guard):
    """G14."""

    id = "G14"
    says_no_when = "the root shows no evidence, or it is stale or weak, or the place's telemetry is missing"
    needs_view = False
    settings = ("evidence",)

    def look(self, context: GuardContext) -> tuple[bool, str]:
        """Evidence must be there, fresh and firm, and the telemetry of the place must be coming in."""
        facts, settings = context.facts, context.settings.evidence
        if context.undoes:
            return True, "what is taken back needs no evidence"
        root = facts.root
        if root is None or not root.evidence:
            return False, "the root finding shows no evidence"
        silent = _silent(context)
        if silent:
            return False, f"telemetry is missing: {silent}"
        newest_ns = max(item.time_ns for finding in facts.findings for item in finding.evidence)
        held = bool(context.ripe_ns) and root.cleared_ns is None
        held = held and context.now_ns - context.ripe_ns <= settings.held_seconds * NS
        age = max(0, ((context.ripe_ns if held else context.now_ns) - newest_ns) // NS)
        if age > settings.stale_seconds:
            return False, f"the newest evidence is {age} s old, at most {settings.stale_seconds} s count"
        if root.confidence < settings.least_confidence:
            least = settings.least_confidence
            return False, f"the root finding's confidence is {root.confidence:.2f}, at least {least:.2f} counts"
        pieces = sum(len(finding.evidence) for finding in facts.findings)
        when = " when all but a wait was settled, and the finding is still open" if held else ""
        return True, f"{pieces} pieces of evidence, the newest {age} s old{when}"


def _silent(context: GuardContext) -> str:
    """Whose telemetry is missing: of a wave only the nodes count that the plan is about."""
    facts = context.facts
    if facts.wave and context.plan is not None:
        about = {step.target.uid for step in context.plan.steps}
        return next((place.silent for place in facts.places if place.silent and place.subject.id in about), "")
    found = (f.summary for f in facts.findings if f.kind is FindingKind.TELEMETRY_LOST and f.cleared_ns is None)
    return next(found, "")


class SourcesGuard(Guard):
    """G15."""

    id = "G15"
    says_no_when = "fewer independent sources than the rule asks for bear witness to the root"
    needs_view = False

    def look(self, context: GuardContext) -> tuple[bool, str]:
        """Counted over the evidence of the root's side."""
        if context.undoes:
            return True, "what is taken back needs no witness"
        wanted = context.rule.sources
        seen = " and ".join(WITNESS[family] for family in context.facts.families) or "nowhere"
        words = f"{wanted} independent source{'' if wanted == 1 else 's'} needed, seen {seen}"
        return len(context.facts.families) >= wanted, words
