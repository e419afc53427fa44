"""What people make of incidents: two are one, or one is two. Groups of findings, taken together and apart."""

from collections.abc import Collection

from collectors.errors import GiveUp
from detectors.correlation.group import Group, rebuilt
from detectors.model import FindingKind


def taken_together(target: Group, source: Group) -> Group:
    """All findings of both under the target's root: a person says that they have one cause."""
    whole = target.copy()
    whole.absorb(source, target.root)
    return whole


def taken_apart(incident: str, group: Group, wanted: Collection[str]) -> tuple[Group, Group]:
    """What stays and what goes, each with the first of its findings in causal order as its root.

    Raises GiveUp where a finding is not of this incident, and where one side would hold nothing that can stand alone
    (`unusual` is evidence for others, never an incident).
    """
    held = group.members | group.asides
    for finding in wanted:
        if finding not in held:
            raise GiveUp(f"finding {finding[:60]} is not of incident {incident}: `watchstander incident` lists them")
    goes = [known for id_, known in held.items() if id_ in wanted]
    stays = [known for id_, known in held.items() if id_ not in wanted]
    parts = []
    for side, words in ((stays, "nothing that can stand alone would be left in"), (goes, "nothing that can stand")):
        leaders = [known for known in side if known.finding.kind is not FindingKind.UNUSUAL]
        if not leaders:
            more = "" if side is stays else " alone would go from"
            raise GiveUp(f"{words}{more} incident {incident}: name some of its findings, not all, nor `unusual` alone")
        root = group.root if any(known.finding.id == group.root for known in leaders) else ""
        root = root or min(leaders, key=lambda known: known.order).finding.id
        parts.append(rebuilt(root, [known.finding for known in side]))
    if group.wave is not None and parts[0].root == group.root:
        parts[0].ride(group.wave)
    return parts[0], parts[1]


def not_apart(apart: Collection[frozenset[str]], joined: str | None, others: list[str]) -> list[str]:
    """Those of the other incidents that nobody has split from the ones that they would be joined with."""
    if not apart:
        return others
    kept = [joined] if joined is not None else []
    for incident in others:
        if not any(frozenset((incident, other)) in apart for other in kept):
            kept.append(incident)
    return [incident for incident in others if incident in kept]
