"""Findings in, incidents out.

A finding joins an open incident where a member of it is its cause, or where it is itself the cause of the incident's
root, whose place it then takes. Being the cause of a mere consequence is not enough: that consequence has a cause
already, and two causes on different subjects stay two incidents. A root found late may join what looked like several
incidents; the oldest lives on and the others are resolved into it. So do the roots of a wave (`wave.py`), and an
incident that comes and goes.
"""

from collections.abc import Iterable, Sequence

import msgspec

from collectors.errors import GiveUp
from detectors.correlation.flapping import Flapping, goes_on
from detectors.correlation.group import Group, rebuilt
from detectors.correlation.link import SECOND_NS, Known
from detectors.correlation.neighbours import Neighbours
from detectors.correlation.people import not_apart, taken_apart, taken_together
from detectors.correlation.report import incident_id, incident_of, is_quiet, merged_away
from detectors.correlation.table import LONGEST_LAG_SECONDS
from detectors.correlation.unusual import Lone
from detectors.correlation.wave import Wave, Waves, waves_of
from detectors.model import Finding, FindingKind, Incident, IncidentState, Word, WordKind

FORGET_SECONDS = max(LONGEST_LAG_SECONDS.values())
"""A resolved incident is remembered for the longest lag of any edge, so that late word of its findings is known."""


class Correlator:
    """Keeps the open incidents of one cluster. No clock, no I/O; the same findings give the same incidents."""

    def __init__(self, cluster: str | None = None) -> None:
        self._cluster = cluster
        self._incidents: dict[str, Incident] = {}
        self._groups: dict[str, Group] = {}
        self._incident_of: dict[str, str] = {}
        self._near = Neighbours()
        self._waves = Waves()
        self._waving: dict[Wave, str] = {}
        """The unresolved incident of each wave."""
        self._flapping = Flapping()
        self._lone = Lone()
        """`unusual` that no incident has taken in yet."""
        self._homeless: list[Finding] = []
        """Found open after a restart, in no incident's list: they are placed with the next tick's."""
        self._apart: set[frozenset[str]] = set()
        """Pairs of incidents that a person has split: no cause found late joins them again."""
        self._unresolved: set[str] = set()
        self._touched: set[str] = set()
        """Incidents that this update changed."""

    def update(self, changed: Sequence[Finding], now_ns: int) -> list[Incident]:
        """Take in the findings that changed in a tick and return the incidents that changed, oldest first.

        `now_ns` is the agent's clock, Unix ns. The order of `changed` does not matter. Call it every tick, also with
        nothing changed: incidents are resolved by the passing of time after their findings have cleared. Raises GiveUp
        for a finding of another cluster.
        """
        newest = {finding.id: finding for finding in (*self._homeless, *changed)}
        for finding in newest.values():
            self._refuse_other_clusters(finding)
        self._homeless = []
        newcomers: list[Known] = []
        for finding in newest.values():
            known, held = Known.of(finding), self._incident_of.get(finding.id)
            if held is None:
                newcomers.append(known)
                continue
            self._groups[held].refresh(known)
            if held in self._unresolved and finding.id in self._near.members:
                self._near.put(known)
                self._lone.note_place(held, known)
            self._touched.add(held)
        for known in sorted(newcomers, key=lambda known: known.order):
            if known.finding.kind is FindingKind.UNUSUAL:
                self._lone.put(known)
            else:
                self._place(known, now_ns)
        for known, incident in self._lone.homes(self._groups, self._by_age):
            self._groups[incident].asides[known.finding.id] = known
            self._incident_of[known.finding.id] = incident
            self._touched.add(incident)
        return self._report(now_ns)

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
        another place than before; and but for those that a large incident has left out of its list. Raises GiveUp
        where an open incident names a finding that is not there: the store is torn, and passing over it would resolve
        the incident by silence.
        """
        held = {finding.id: finding for finding in findings}
        self._apart |= {frozenset(pair) for pair in apart}
        left_out = False
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
            listed = [held[finding_id] for finding_id in incident.findings]
            self._groups[incident.id] = rebuilt(incident.root, listed, incident.subject)
            self._incidents[incident.id] = incident
            left_out = left_out or incident.left_out > 0
            for finding_id in incident.findings:
                self._incident_of[finding_id] = incident.id
            if resolved:
                self._rest(incident.id)
            else:
                self._wake(incident.id)
        for finding in held.values():
            if finding.id in self._incident_of or finding.cleared_ns is not None:
                continue
            if finding.kind is FindingKind.UNUSUAL:
                self._lone.put(Known.of(finding))
            elif left_out:
                self._homeless.append(finding)

    def mark(self, incident: str, state: IncidentState, now_ns: int) -> Incident:
        """A person's or an action's word: acknowledged or mitigated. It lasts until the incident is resolved.

        Raises GiveUp for an incident that is not open, and for a word that only findings can say.
        """
        held = self._incidents.get(incident)
        if held is None or held.state is IncidentState.RESOLVED:
            raise GiveUp(f"incident {incident} is not open: look it up with `watchstander incidents`")
        if state is IncidentState.RESOLVED:
            raise GiveUp(f"incident {incident} resolves when its findings have cleared; acknowledge it instead")
        self._incidents[incident] = msgspec.structs.replace(held, state=state, updated_ns=now_ns)
        return self._incidents[incident]

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
        state = IncidentState.MITIGATED if word.kind is WordKind.MITIGATE else IncidentState.ACKNOWLEDGED
        return [self._note_word(held, sequence, now_ns, state=state, snoozed_until_ns=None)]

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

    # People

    def _say_merged(self, source: Incident, word: Word, sequence: int, now_ns: int) -> list[Incident]:
        """Its findings move to the other, which keeps its root; this one is resolved."""
        target = self._incidents.get(word.other)
        if target is None or target.state is IncidentState.RESOLVED or target.id == source.id:
            return [self._note_word(source, sequence, now_ns)]
        moved = self._groups[source.id]
        self._sleep(source.id)
        self._sleep(target.id)
        self._groups[target.id] = taken_together(self._groups[target.id], moved)
        self._groups[source.id] = Group(root="")
        for finding_id in (*moved.members, *moved.asides):
            self._incident_of[finding_id] = target.id
        self._wake(target.id)
        self._apart = {
            pair if source.id not in pair else (pair - {source.id}) | {target.id}
            for pair in self._apart - {frozenset((source.id, target.id))}
        }
        because = f"merged into {target.id} by {word.who}"
        gone = self._resolve(source, because, sequence, now_ns, findings=(), kinds=(), left_out=0)
        stands = incident_of(target.id, self._groups[target.id], target, target.opened_ns, now_ns)
        self._incidents[target.id] = msgspec.structs.replace(stands, state=target.state, word=sequence)
        return [gone, self._incidents[target.id]]

    def _say_split(self, held: Incident, word: Word, sequence: int, now_ns: int) -> list[Incident]:
        """Some of its findings become an incident of their own, open, whatever the first one's state."""
        stays, goes = taken_apart(held.id, self._groups[held.id], word.findings)
        self._sleep(held.id)
        self._groups[held.id], self._groups[word.other] = stays, goes
        self._apart.add(frozenset((held.id, word.other)))
        changed = []
        for incident, before in ((held.id, held), (word.other, None)):
            group = self._groups[incident]
            for finding_id in (*group.members, *group.asides):
                self._incident_of[finding_id] = incident
            self._wake(incident)
            after = incident_of(incident, group, before, self._opened_ns(incident), now_ns)
            state = before.state if before is not None else IncidentState.OPEN
            after = msgspec.structs.replace(after, state=state, resolved_ns=None, resolved_because="", word=sequence)
            self._incidents[incident] = after
            changed.append(after)
        return changed

    def _resolve(self, held: Incident, because: str, sequence: int, now_ns: int, **changes: object) -> Incident:
        resolved = {"state": IncidentState.RESOLVED, "resolved_ns": now_ns, "resolved_because": because}
        after = self._note_word(held, sequence, now_ns, **resolved, snoozed_until_ns=None, **changes)
        self._rest(held.id)
        return after

    def _note_word(self, held: Incident, sequence: int, now_ns: int, **changes: object) -> Incident:
        after = msgspec.structs.replace(held, word=sequence, updated_ns=now_ns, **changes)
        self._incidents[held.id] = after
        return after

    # Placing

    def _place(self, newcomer: Known, now_ns: int) -> None:
        """Put a new finding into an incident."""
        joined = self._join_again(newcomer) or self._join_cause(newcomer)
        if joined is None:
            joined = self._join_wave(newcomer)
        led = {self._incident_of[root.finding.id] for root in self._near.led_by(newcomer)} - {joined}
        waving = {incident for incident in led if self._groups[incident].wave is not None}
        led -= waving  # a wave keeps its root: what causes one member is not what they share
        if joined is None and not waving and self._reopen(newcomer, now_ns):
            joined = self._incident_of[newcomer.finding.id]
        led = set(not_apart(self._apart, joined, self._by_age(led)))
        if joined is None and waving:
            joined = self._by_age(waving)[0]
            self._groups[joined].attach(newcomer, self._groups[joined].root)
            self._claim(joined, newcomer)
        if joined is None and led:
            joined = self._by_age(led)[0]
            led.discard(joined)
            self._enthrone(joined, newcomer)
            self._note_wave(newcomer)
        if joined is None:
            self._begin(newcomer)
            self._note_wave(newcomer)
        joined = self._incident_of[newcomer.finding.id]
        led = {incident for incident in led if incident in self._unresolved}
        self._merge({joined, *led}, joined, newcomer.finding.id)

    def _join_again(self, newcomer: Known) -> str | None:
        said = self._near.same_again(newcomer)
        cause = self._near.cause_of(newcomer) if said else None
        earlier = [k for k in said if goes_on(k.finding, newcomer.finding, self._is_root(k), cause)]
        if not earlier:
            return None
        incident = self._by_age({self._incident_of[known.finding.id] for known in earlier})[0]
        first = min((k for k in earlier if self._incident_of[k.finding.id] == incident), key=lambda k: k.order)
        group = self._groups[incident]
        group.attach(newcomer, group.parents.get(first.finding.id, group.root), self._effects_in(incident, newcomer))
        self._claim(incident, newcomer)
        return incident

    def _is_root(self, known: Known) -> bool:
        return self._groups[self._incident_of[known.finding.id]].root == known.finding.id

    def _join_cause(self, newcomer: Known) -> str | None:
        cause = self._near.cause_of(newcomer)
        if cause is None:
            return None
        incident = self._incident_of[cause.finding.id]
        self._groups[incident].attach(newcomer, cause.finding.id, self._effects_in(incident, newcomer))
        self._claim(incident, newcomer)
        if cause.finding.kind is newcomer.finding.kind is FindingKind.XID:
            self._note_wave(newcomer)  # links of many cards are about what holds the links
        return self._incident_of[newcomer.finding.id]

    def _effects_in(self, incident: str, newcomer: Known) -> list[Known]:
        return [k for k in self._near.effects_of(newcomer) if self._incident_of[k.finding.id] == incident]

    def _begin(self, newcomer: Known) -> str:
        incident = incident_id(newcomer.finding.id)
        self._groups[incident] = Group.begun_by(newcomer)
        self._unresolved.add(incident)
        self._claim(incident, newcomer)
        self._near.roots.put(newcomer)
        return incident

    def _enthrone(self, incident: str, newcomer: Known) -> None:
        group = self._groups[incident]
        self._dethrone(group.root)
        group.enthrone(newcomer)
        self._claim(incident, newcomer)
        self._near.roots.put(newcomer)

    def _dethrone(self, finding_id: str) -> None:
        self._near.roots.drop(finding_id)
        self._waves.drop(finding_id)

    def _merge(self, incidents: set[str], top: str, under: str) -> None:
        """Make incidents one: the roots of the others come under a member of `top`. The oldest id lives on."""
        kept, *gone = self._by_age(incidents)
        whole = self._groups[top]
        others = incidents - {top}
        for other in sorted(others):
            group = self._groups[other]
            self._dethrone(group.root)
            whole.absorb(group, under)
            for finding_id in (*group.members, *group.asides):
                self._incident_of[finding_id] = kept
        if kept != top:
            for finding_id in (*whole.members, *whole.asides):
                self._incident_of[finding_id] = kept
        for incident in gone:
            self._unresolved.discard(incident)
            self._lone.move(incident, kept)
            if incident in self._incidents:
                self._groups[incident] = Group(root="")
            else:  # opened in this very tick: nobody has heard of it
                del self._groups[incident]
        self._groups[kept] = whole
        if whole.wave is not None:
            self._waving[whole.wave] = kept
        self._touched |= incidents

    # Waves and flapping

    def _join_wave(self, newcomer: Known) -> str | None:
        """The incident of a wave that runs on, the widest; wider ones may still take it in."""
        for wave in sorted(waves_of(newcomer), key=lambda wave: -wave.width):
            incident = self._waving.get(wave)
            if incident is None:
                continue
            group = self._groups[incident]
            if abs(newcomer.finding.since_ns - group.wave_ns) > wave.window_ns:
                continue
            group.attach(newcomer, group.root)
            group.wave_ns = max(group.wave_ns, newcomer.finding.since_ns)
            self._claim(incident, newcomer)
            self._near.roots.put(newcomer)
            self._touched.add(incident)
            self._note_wave(newcomer, wave)
            return self._incident_of[newcomer.finding.id]
        return None

    def _note_wave(self, newcomer: Known, wider_than: Wave | None = None) -> None:
        """Count a root; where it completes a wave, make its members one incident."""
        self._waves.note(newcomer, wider_than)
        made = self._waves.made_by(newcomer)
        if made is None:
            return
        wave, members = made
        first = self._incident_of[members[0]]
        others = {self._incident_of[finding_id] for finding_id in members} - {first}
        incidents = {first, *not_apart(self._apart, first, self._by_age(others))}
        members = [finding_id for finding_id in members if self._incident_of[finding_id] in incidents]
        whole = self._groups[first]
        for narrower in {self._groups[incident].wave for incident in incidents} - {None}:
            self._waving.pop(narrower, None)  # type: ignore[arg-type]  # None is not among them
        whole.wave = wave
        self._merge(incidents, first, whole.root)
        for finding_id in members:
            known = self._near.members.get(finding_id)
            self._near.roots.put(known)
            self._waves.note(known, wave)
            whole.wave_ns = max(whole.wave_ns, known.finding.since_ns)

    def _reopen(self, newcomer: Known, now_ns: int) -> bool:
        """Open again what has come and gone before, the oldest of a row."""
        row = self._flapping.back(newcomer.finding, self._incidents, now_ns)
        if not row:
            return False
        oldest = self._by_age(set(row))[0]
        for incident in row:
            self._wake(incident)
        before, times = self._incidents[oldest], sum(1 + self._incidents[i].reopened for i in row)
        self._incidents[oldest] = msgspec.structs.replace(
            before, state=IncidentState.OPEN, resolved_ns=None, resolved_because="", reopened=times
        )
        group = self._groups[oldest]
        self._merge(set(row), oldest, group.root)
        group.attach(newcomer, group.root)
        self._claim(oldest, newcomer)
        return True

    # Books

    def _wake(self, incident: str) -> None:
        """An incident is unresolved (again): its members may be joined."""
        group = self._groups[incident]
        self._unresolved.add(incident)
        self._flapping.forget(incident)
        for known in group.members.values():
            self._near.put(known)
            self._lone.note_place(incident, known)
        root = group.members[group.root]
        self._near.roots.put(root)
        if group.wave is None:
            self._waves.note(root)
            return
        self._waving[group.wave] = incident
        for finding_id, parent in group.parents.items():
            if parent == group.root and group.members[finding_id].finding.kind is root.finding.kind:
                self._near.roots.put(group.members[finding_id])
                self._waves.note(group.members[finding_id], group.wave)
        self._waves.note(root, group.wave)

    def _rest(self, incident: str) -> None:
        """An incident is resolved: nothing joins it any more, unless it comes and goes."""
        self._sleep(incident)
        group = self._groups[incident]
        if group.members and group.wave is None:
            self._flapping.note(incident, group.members[group.root].finding)

    def _sleep(self, incident: str) -> None:
        """Take an incident out of the indexes."""
        group = self._groups[incident]
        self._unresolved.discard(incident)
        self._lone.leave(incident)
        for finding_id, known in group.members.items():
            self._near.drop(known)
            self._waves.drop(finding_id)
        if group.wave is not None and self._waving.get(group.wave) == incident:
            del self._waving[group.wave]

    def _claim(self, incident: str, known: Known) -> None:
        self._incident_of[known.finding.id] = incident
        self._near.put(known)
        self._lone.note_place(incident, known)

    def _by_age(self, incidents: set[str]) -> list[str]:
        """Oldest first; those that nobody has heard of yet last."""
        return sorted(incidents, key=lambda i: (i not in self._incidents, self._opened_ns(i), i))

    def _opened_ns(self, incident: str) -> int:
        held = self._incidents.get(incident)
        return held.opened_ns if held is not None else self._groups[incident].opened_ns

    # Reporting

    def _report(self, now_ns: int) -> list[Incident]:
        touched = {incident for incident in self._touched if incident in self._groups}
        self._touched = set()
        changed: list[Incident] = []
        ripe = {i for i in self._unresolved if is_quiet(self._groups[i], now_ns) or self._slept_in(i, now_ns)}
        for incident in touched | ripe:
            before, group = self._incidents.get(incident), self._groups[incident]
            if before is not None and not group.members:
                kept = self._incident_of.get(before.root, "")
                after = merged_away(before, kept, self._groups.get(kept, group), now_ns)
            else:
                after = incident_of(incident, group, before, self._opened_ns(incident), now_ns)
            if before is None or msgspec.structs.replace(after, updated_ns=before.updated_ns) != before:
                self._incidents[incident] = after
                changed.append(after)
            if after.state is IncidentState.RESOLVED and incident in self._unresolved:
                self._rest(incident)
        self._forget_old(now_ns)
        return _sorted(changed)

    def _slept_in(self, incident: str, now_ns: int) -> bool:
        """Whether it was snoozed until now."""
        held = self._incidents.get(incident)
        return held is not None and held.state is IncidentState.SNOOZED and now_ns >= (held.snoozed_until_ns or 0)

    def _forget_old(self, now_ns: int) -> None:
        horizon_ns = now_ns - int(FORGET_SECONDS * SECOND_NS)
        old = [
            i.id
            for i in self._incidents.values()
            # what a person resolved while it held keeps its findings: they are no news as long as they hold
            if i.resolved_ns is not None and i.resolved_ns < horizon_ns and is_quiet(self._groups[i.id], now_ns)
        ]
        for incident in old:
            self._apart = {pair for pair in self._apart if incident not in pair}
            group = self._groups.pop(incident)
            self._flapping.forget(incident)
            for finding_id in (*group.members, *group.asides):
                self._incident_of.pop(finding_id, None)
            del self._incidents[incident]


def _sorted(incidents: Iterable[Incident]) -> list[Incident]:
    return sorted(incidents, key=lambda incident: (incident.opened_ns, incident.id))
