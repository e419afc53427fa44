"""Findings in, incidents out.

A finding joins an open incident where a member of it is its cause, or where it is itself the cause of the incident's
root, whose place it then takes. Being the cause of a mere consequence is not enough: that consequence has a cause
already, and two causes on different subjects stay two incidents. A root found late may join what looked like several
incidents; the oldest lives on and the others are resolved into it.
"""

import base64
import hashlib
from collections.abc import Iterable, Sequence

import msgspec

from collectors.errors import GiveUp
from collectors.model import Subject
from detectors.correlation.group import Group, rebuilt
from detectors.correlation.link import SECOND_NS, Known, same_again
from detectors.correlation.people import taken_apart, taken_together
from detectors.correlation.place import Name, overlap
from detectors.correlation.table import LONGEST_LAG_SECONDS
from detectors.correlation.title import title_of
from detectors.model import Finding, FindingKind, Incident, IncidentState, Severity, Word, WordKind

QUIET_SECONDS = 30.0
"""How long everything must stay cleared before an incident is resolved: two batches, a tick and the allowed lateness
(5 + 5 + 5 + 10 s) must have had the chance to say otherwise, and a fault that flickers stays one incident."""

REOPEN_SECONDS = 600.0
"""The same kind on the same subject this soon after its incident was resolved is that incident again: a fault that
comes and goes is one incident with a count, not a page each time (issue: flapping is one incident)."""

FORGET_SECONDS = max(LONGEST_LAG_SECONDS.values())
"""A resolved incident is remembered for the longest lag of any edge, so that late word of its findings is known."""

_SEVERITIES = tuple(Severity)


def incident_id(finding_id: str) -> str:
    """The id of the incident that a finding opens: `INC-` and eight characters, the same on every replay."""
    digest = hashlib.sha256(finding_id.encode()).digest()
    return "INC-" + base64.b32encode(digest[:5]).decode("ascii")


class Correlator:
    """Keeps the open incidents of one cluster. No clock, no I/O; the same findings give the same incidents."""

    def __init__(self, cluster: str | None = None) -> None:
        self._cluster = cluster
        self._incidents: dict[str, Incident] = {}
        self._groups: dict[str, Group] = {}
        self._incident_of: dict[str, str] = {}
        self._at: dict[Subject | Name, set[str]] = {}
        """Unresolved incidents by place, so that a newcomer looks only at its neighbours."""
        self._places: dict[str, set[Subject | Name]] = {}
        """The same the other way round."""
        self._lone: dict[str, Known] = {}
        """`unusual` that no incident has taken in yet."""
        self._over: dict[tuple[FindingKind, Subject], str] = {}
        """The newest resolved incident about a kind and subject: it may come back."""
        self._apart: set[frozenset[str]] = set()
        """Pairs of incidents that a person has split: no cause found late joins them again."""

    def update(self, changed: Sequence[Finding], now_ns: int) -> list[Incident]:
        """Take in the findings that changed in a tick and return the incidents that changed, oldest first.

        `now_ns` is the agent's clock, Unix ns. The order of `changed` does not matter. Call it every tick, also with
        nothing changed: incidents are resolved by the passing of time after their findings have cleared.

        Raises GiveUp for a finding of another cluster.
        """
        touched: set[str] = set()
        newest = {finding.id: finding for finding in changed}
        newcomers: list[Known] = []
        for finding in newest.values():
            self._refuse_other_clusters(finding)
        for finding in newest.values():
            held = self._incident_of.get(finding.id)
            if held is not None:
                self._groups[held].refresh(finding)
                if held in self._places:
                    self._note_place(held, Known.of(finding))
                touched.add(held)
            else:
                newcomers.append(Known.of(finding))
        for known in sorted(newcomers, key=lambda known: known.order):
            if known.finding.kind is FindingKind.UNUSUAL:
                self._lone[known.finding.id] = known
            else:
                touched |= self._place(known, now_ns)
        touched = {incident for incident in touched if incident in self._groups}
        touched |= self._take_in_lone(now_ns)
        return self._report(touched, now_ns)

    def restore(
        self,
        open_incidents: Iterable[Incident],
        findings: Iterable[Finding],
        apart: Iterable[tuple[str, str]] = (),
    ) -> None:
        """Start from what the store holds: unresolved incidents, and the findings they name.

        Resolved ones may come along: they may come back, and what a person resolved keeps the findings that it has.
        `apart`: pairs of incidents that people have split.

        Findings that no incident names are passed over, but for `unusual` ones that are still open: they may find
        another place than before. Raises GiveUp where an open incident names a finding that is not there: the store is
        torn, and passing over it would resolve the incident by silence.
        """
        held = {finding.id: finding for finding in findings}
        self._apart |= {frozenset(pair) for pair in apart}
        for incident in open_incidents:
            resolved = incident.state is IncidentState.RESOLVED
            missing = [finding_id for finding_id in incident.findings if finding_id not in held]
            if resolved and (missing or incident.root not in incident.findings):
                continue  # merged away, or pruned: nothing of it can come back
            if missing or incident.root not in incident.findings:
                raise GiveUp(
                    f"incident {incident.id} cannot be restored: finding {missing[0] if missing else incident.root} "
                    "is not in the store; resolve the incident there or restore the finding"
                )
            group = rebuilt(incident.root, [held[finding_id] for finding_id in incident.findings])
            self._groups[incident.id] = group
            self._incidents[incident.id] = incident
            for finding_id in incident.findings:
                self._incident_of[finding_id] = incident.id
            if resolved:
                self._note_over(incident)
                continue
            for known in group.members.values():
                self._note_place(incident.id, known)
        for finding in held.values():
            unclaimed = finding.id not in self._incident_of
            if finding.kind is FindingKind.UNUSUAL and unclaimed and finding.cleared_ns is None:
                self._lone[finding.id] = Known.of(finding)

    def mark(self, incident: str, state: IncidentState, now_ns: int) -> Incident:
        """A person's or an action's word: acknowledged or mitigated. It lasts until the incident is resolved.

        Raises GiveUp for an incident that is not open, and for a word that only findings can say.
        """
        held = self._incidents.get(incident)
        if held is None or held.state is IncidentState.RESOLVED:
            raise GiveUp(f"incident {incident} is not open: look it up with `watchstander incidents`")
        if state is IncidentState.RESOLVED:
            raise GiveUp(f"incident {incident} resolves when its findings have cleared; acknowledge it instead")
        marked = msgspec.structs.replace(held, state=state, updated_ns=now_ns)
        self._incidents[incident] = marked
        return marked

    def say(self, word: Word, sequence: int, now_ns: int) -> list[Incident]:
        """A person's word; the incidents that it changes, each of which names it from now on (`Incident.word`).

        `sequence` numbers the words of people, upwards: one already taken in changes nothing, and neither does one
        about an incident that is not known (any more). Raises GiveUp for a split that leaves a side empty.
        """
        held = self._incidents.get(word.incident)
        if held is None or held.word >= sequence:
            return []
        if held.state is IncidentState.RESOLVED:
            return [self._note_word(held, sequence, now_ns)]
        if word.kind is WordKind.MERGE:
            return self._say_merged(held, word, sequence, now_ns)
        if word.kind is WordKind.SPLIT:
            return self._say_split(held, word, sequence, now_ns)
        if word.kind is WordKind.RESOLVE:
            return [self._resolve(held, f"resolved by {word.who}", sequence, now_ns)]
        if word.kind is WordKind.SNOOZE:
            return [
                self._note_word(
                    held, sequence, now_ns, state=IncidentState.SNOOZED, snoozed_until_ns=word.until_ns or now_ns
                )
            ]
        return [self._note_word(held, sequence, now_ns, state=IncidentState.ACKNOWLEDGED, snoozed_until_ns=None)]

    @property
    def unresolved(self) -> list[Incident]:
        """The incidents that are not resolved, oldest first."""
        return _sorted(i for i in self._incidents.values() if i.state is not IncidentState.RESOLVED)

    def _refuse_other_clusters(self, finding: Finding) -> None:
        if self._cluster is not None and finding.subject.cluster != self._cluster:
            raise GiveUp(
                f"finding {finding.id} is about cluster {finding.subject.cluster!r}, this agent serves "
                f"{self._cluster!r}: send it to that cluster's agent"
            )

    def _say_merged(self, source: Incident, word: Word, sequence: int, now_ns: int) -> list[Incident]:
        """Its findings move to the other, which keeps its root; this one is resolved."""
        target = self._incidents.get(word.other)
        if target is None or target.state is IncidentState.RESOLVED or target.id == source.id:
            return [self._note_word(source, sequence, now_ns)]
        moved = self._groups[source.id]
        self._groups[target.id] = taken_together(self._groups[target.id], moved)
        for known in (*moved.members.values(), *moved.asides.values()):
            self._incident_of[known.finding.id] = target.id
        for known in moved.members.values():
            self._note_place(target.id, known)
        self._groups[source.id] = Group(root="")
        self._apart = {
            pair if source.id not in pair else (pair - {source.id}) | {target.id}
            for pair in self._apart - {frozenset((source.id, target.id))}
        }
        because = f"merged into {target.id} by {word.who}"
        gone = self._resolve(source, because, sequence, now_ns, findings=(), kinds=())
        self._incidents[target.id] = msgspec.structs.replace(
            self._as_it_stands(target.id, target, now_ns), state=target.state, word=sequence
        )
        return [gone, self._incidents[target.id]]

    def _say_split(self, held: Incident, word: Word, sequence: int, now_ns: int) -> list[Incident]:
        """Some of its findings become an incident of their own, open, whatever the first one's state."""
        stays, goes = taken_apart(held.id, self._groups[held.id], word.findings)
        self._groups[held.id], self._groups[word.other] = stays, goes
        self._forget_places(held.id)
        for incident, group in ((held.id, stays), (word.other, goes)):
            for known in (*group.members.values(), *group.asides.values()):
                self._incident_of[known.finding.id] = incident
            for known in group.members.values():
                self._note_place(incident, known)
        self._apart.add(frozenset((held.id, word.other)))
        changed = []
        for incident, before in ((held.id, held), (word.other, None)):
            after = self._as_it_stands(incident, before, now_ns)
            state = before.state if before is not None else IncidentState.OPEN
            after = msgspec.structs.replace(after, state=state, resolved_ns=None, resolved_because="", word=sequence)
            self._incidents[incident] = after
            changed.append(after)
        return changed

    def _resolve(self, held: Incident, because: str, sequence: int, now_ns: int, **changes: object) -> Incident:
        resolved = {"state": IncidentState.RESOLVED, "resolved_ns": now_ns, "resolved_because": because}
        after = self._note_word(held, sequence, now_ns, **resolved, snoozed_until_ns=None, **changes)
        self._forget_places(held.id)
        self._note_over(after)
        return after

    def _note_word(self, held: Incident, sequence: int, now_ns: int, **changes: object) -> Incident:
        after = msgspec.structs.replace(held, word=sequence, updated_ns=now_ns, **changes)
        self._incidents[held.id] = after
        return after

    def _note_over(self, incident: Incident) -> None:
        if incident.findings:
            self._over[incident.kind, incident.subject] = incident.id

    def _came_back(self, newcomer: Known, now_ns: int) -> str | None:
        """The incident that the newcomer's kind and subject had until a short while ago, open again."""
        key = newcomer.finding.kind, newcomer.finding.subject
        held = self._incidents.get(self._over.get(key, ""))
        if held is None or held.resolved_ns is None or now_ns - held.resolved_ns > REOPEN_SECONDS * SECOND_NS:
            return None
        del self._over[key]
        self._incidents[held.id] = msgspec.structs.replace(
            held, state=IncidentState.OPEN, resolved_ns=None, resolved_because="", reopened=held.reopened + 1
        )
        for known in self._groups[held.id].members.values():
            self._note_place(held.id, known)
        return self._join_again(held.id, newcomer)

    def _not_apart(self, joined: str | None, led: list[str]) -> list[str]:
        """Those of the led that nobody has split from the ones that they would be joined with."""
        kept = [joined] if joined is not None else []
        for incident in led if self._apart else ():
            if not any(frozenset((incident, other)) in self._apart for other in kept):
                kept.append(incident)
        return [incident for incident in led if incident in kept] if self._apart else led

    def _place(self, newcomer: Known, now_ns: int) -> set[str]:
        """Put a new finding into an incident; the ids of those that this changes."""
        nearby = self._nearby(newcomer)
        again = [i for i in nearby if any(same_again(m.finding, newcomer.finding) for m in self._members(i))]
        joined = self._join_again(again[0], newcomer) if again else self._join_cause(nearby, newcomer)
        if joined is None:
            joined = self._came_back(newcomer, now_ns)
        led = [i for i in nearby if i != joined and self._groups[i].led_by(newcomer)]
        led = self._not_apart(joined, led)
        if joined is None and led:
            joined = led.pop(0)
            self._groups[joined].enthrone(newcomer)
            self._claim(joined, newcomer)
        if joined is None:
            joined = incident_id(newcomer.finding.id)
            self._groups[joined] = Group.begun_by(newcomer)
            self._claim(joined, newcomer)
        return self._merge(joined, led, newcomer) if led else {joined}

    def _join_again(self, incident: str, newcomer: Known) -> str:
        group = self._groups[incident]
        earlier = next(m.finding.id for m in group.members.values() if same_again(m.finding, newcomer.finding))
        group.attach(newcomer, group.parents.get(earlier, group.root))
        self._claim(incident, newcomer)
        return incident

    def _join_cause(self, nearby: list[str], newcomer: Known) -> str | None:
        found = [(cause.order, i, cause) for i in nearby if (cause := self._groups[i].cause_of(newcomer))]
        if not found:
            return None
        _, incident, cause = max(found, key=lambda item: item[:2])
        self._groups[incident].attach(newcomer, cause.finding.id)
        self._claim(incident, newcomer)
        return incident

    def _merge(self, top: str, led: list[str], newcomer: Known) -> set[str]:
        """Join incidents whose roots the newcomer explains with the one that holds it; the oldest id lives on."""
        whole = self._groups[top]
        for other in led:
            whole.absorb(self._groups[other], newcomer.finding.id)
        kept, *gone = self._by_age({top, *led})
        for incident in gone:
            self._forget_places(incident)
            if incident in self._incidents:
                self._groups[incident] = Group(root="")
            else:  # opened in this very tick: nobody has heard of it
                del self._groups[incident]
        self._groups[kept] = whole
        for known in whole.members.values():
            self._claim(kept, known)
        for finding_id in whole.asides:
            self._incident_of[finding_id] = kept
        return {kept, *(incident for incident in gone if incident in self._groups)}

    def _members(self, incident: str) -> Iterable[Known]:
        return self._groups[incident].members.values()

    def _nearby(self, known: Known) -> list[str]:
        """Unresolved incidents that share a place with a finding, oldest first."""
        found: set[str] = set()
        for key in known.place.keys:
            found |= self._at.get(key, set())
        return self._by_age(found)

    def _by_age(self, incidents: set[str]) -> list[str]:
        """Oldest first; those that nobody has heard of yet last."""
        return sorted(incidents, key=lambda i: (i not in self._incidents, self._opened_ns(i), i))

    def _opened_ns(self, incident: str) -> int:
        held = self._incidents.get(incident)
        if held is not None:
            return held.opened_ns
        return min(known.finding.opened_ns for known in self._groups[incident].members.values())

    def _claim(self, incident: str, known: Known) -> None:
        self._incident_of[known.finding.id] = incident
        self._note_place(incident, known)

    def _note_place(self, incident: str, known: Known) -> None:
        for key in known.place.keys:
            self._at.setdefault(key, set()).add(incident)
            self._places.setdefault(incident, set()).add(key)

    def _forget_places(self, incident: str) -> None:
        for key in self._places.pop(incident, ()):
            self._at[key].discard(incident)
            if not self._at[key]:
                del self._at[key]

    def _take_in_lone(self, now_ns: int) -> set[str]:
        """Hang what is merely unusual on an incident at its place; let go of what has cleared alone."""
        touched: set[str] = set()
        for finding_id, known in sorted(self._lone.items(), key=lambda item: item[1].order):
            for incident in self._nearby(known):
                if any(overlap(known.place, member.place) for member in self._members(incident)):
                    self._groups[incident].asides[finding_id] = known
                    self._incident_of[finding_id] = incident
                    touched.add(incident)
                    del self._lone[finding_id]
                    break
            else:
                if known.finding.cleared_ns is not None:
                    del self._lone[finding_id]
        return touched

    def _report(self, touched: set[str], now_ns: int) -> list[Incident]:
        changed: list[Incident] = []
        for incident in touched | self._ripe(now_ns) | self._awake(now_ns):
            before = self._incidents.get(incident)
            after = self._as_it_stands(incident, before, now_ns)
            if before is None or msgspec.structs.replace(after, updated_ns=before.updated_ns) != before:
                self._incidents[incident] = after
                changed.append(after)
            if after.state is IncidentState.RESOLVED:
                self._forget_places(incident)
                if before is not None and before.state is not IncidentState.RESOLVED:
                    self._note_over(after)
        self._forget_old(now_ns)
        return _sorted(changed)

    def _ripe(self, now_ns: int) -> set[str]:
        """Incidents that time alone resolves."""
        return {
            incident.id
            for incident in self._incidents.values()
            if incident.state is not IncidentState.RESOLVED and _quiet(self._groups[incident.id], now_ns)
        }

    def _awake(self, now_ns: int) -> set[str]:
        """Incidents that were snoozed until now."""
        return {
            incident.id
            for incident in self._incidents.values()
            if incident.state is IncidentState.SNOOZED and now_ns >= (incident.snoozed_until_ns or 0)
        }

    def _as_it_stands(self, incident: str, before: Incident | None, now_ns: int) -> Incident:
        group = self._groups[incident]
        if before is not None and not group.members:
            return self._merged_away(before, now_ns)
        findings = group.in_order()
        root = findings[0]
        state = before.state if before is not None else IncidentState.OPEN
        resolved_ns, because = (before.resolved_ns, before.resolved_because) if before is not None else (None, "")
        until_ns = before.snoozed_until_ns if before is not None and state is IncidentState.SNOOZED else None
        if until_ns is not None and now_ns >= until_ns:
            state, until_ns = IncidentState.OPEN, None
        if state is not IncidentState.RESOLVED and _quiet(group, now_ns):
            state, resolved_ns = IncidentState.RESOLVED, now_ns
            because, until_ns = root.cleared_because or "all its findings have cleared", None
        return Incident(
            id=incident,
            state=state,
            root=root.id,
            findings=tuple(finding.id for finding in findings),
            kind=root.kind,
            subject=root.subject,
            severity=_worst(group),
            title=title_of(findings),
            opened_ns=self._opened_ns(incident),
            since_ns=root.since_ns,
            updated_ns=now_ns,
            origin=root.origin,
            resolved_ns=resolved_ns,
            resolved_because=because,
            names=dict(root.names),
            kinds=tuple(finding.kind for finding in findings),
            snoozed_until_ns=until_ns,
            reopened=before.reopened if before is not None else 0,
            word=before.word if before is not None else 0,
            gpus=before.gpus if before is not None else {},
        )

    def _merged_away(self, before: Incident, now_ns: int) -> Incident:
        if before.state is IncidentState.RESOLVED:
            return before
        kept = self._incident_of[before.root]
        return msgspec.structs.replace(
            before,
            state=IncidentState.RESOLVED,
            findings=(),
            kinds=(),
            updated_ns=now_ns,
            resolved_ns=now_ns,
            resolved_because=f"its findings belong to {kept}, whose root was found late",
        )

    def _forget_old(self, now_ns: int) -> None:
        horizon_ns = now_ns - int(FORGET_SECONDS * SECOND_NS)
        old = [
            i.id
            for i in self._incidents.values()
            # what a person resolved while it held keeps its findings: they are no news as long as they hold
            if i.resolved_ns is not None and i.resolved_ns < horizon_ns and _quiet(self._groups[i.id], now_ns)
        ]
        for incident in old:
            key = self._incidents[incident].kind, self._incidents[incident].subject
            if self._over.get(key) == incident:
                del self._over[key]
            self._apart = {pair for pair in self._apart if incident not in pair}
            group = self._groups.pop(incident)
            for finding_id in (*group.members, *group.asides):
                self._incident_of.pop(finding_id, None)
            del self._incidents[incident]


def _quiet(group: Group, now_ns: int) -> bool:
    """Whether all its findings have cleared and stayed so for long enough."""
    quiet_ns = group.quiet_since_ns()
    return quiet_ns is not None and now_ns - quiet_ns >= QUIET_SECONDS * SECOND_NS


def _worst(group: Group) -> Severity:
    return max((known.finding.severity for known in group.members.values()), key=_SEVERITIES.index)


def _sorted(incidents: Iterable[Incident]) -> list[Incident]:
    return sorted(incidents, key=lambda incident: (incident.opened_ns, incident.id))
