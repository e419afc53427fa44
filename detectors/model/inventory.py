"""Dated facts about subjects, from every source that states any. Unknown is None, never a guess."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from collectors.model import Batch, Subject, SubjectFacts, SubjectKind
from detectors.inventory.belonging import Belonging
from detectors.inventory.dated import Contradiction, Fact, Gone
from detectors.inventory.history import History, present
from detectors.inventory.pci import PciIndex
from detectors.inventory.sources import LAYOUT, Source, believed, keys_of, merged, stated

MOST_CONTRADICTIONS = 1_000
"""Kept at once; one wrong column of a CSV file contradicts the whole fleet."""
MOST_GONE = 50_000
"""Subjects of the past that are remembered; the longest gone are forgotten first."""
_SOURCES = (Source.KUBERNETES, Source.CSV, Source.SETTING)


@dataclass(slots=True)
class Inventory:
    """Which GPU sits in which node, rack, domain and pool, and which pod, job and rank it works for.

    Collectors speak through `learn`, all others through `tell` (by key) and `tell_by_name` (a file knows no keys).
    `facts` holds what counts, all sources together; `fact` and `history` say since when and by whom, `contradictions`
    who disagrees.
    """

    facts: dict[Subject, SubjectFacts] = field(default_factory=dict)
    known_since_ns: dict[Subject, int] = field(default_factory=dict)
    generation: int = 0
    """Rises with every change, so that arrays derived from it know when they are stale."""
    gone: dict[Subject, Gone] = field(default_factory=dict)
    """What the cluster no longer has; their last facts stay readable."""
    belonging: Belonging = field(default_factory=Belonging)
    """Namespaces of jobs and pods."""
    _collected: dict[Subject, SubjectFacts] = field(default_factory=dict)
    """What the collectors say, where another source speaks of the same subject."""
    _told: dict[Subject, dict[Source, SubjectFacts]] = field(default_factory=dict)
    """What other sources say, by key."""
    _by_name: dict[tuple[SubjectKind, str], dict[Source, dict[str, str]]] = field(default_factory=dict)
    """What other sources say, by name."""
    _called: dict[tuple[SubjectKind, str], dict[Subject, None]] = field(default_factory=dict)
    """Nodes, cards, pods and jobs by name, the newest last: names are used again."""
    _rosters: dict[Subject, tuple[Subject, ...]] = field(default_factory=dict)
    """The subjects of a node's last batch: the same again is no news."""
    _alias: dict[Subject, str] = field(default_factory=dict)
    """The name under which each subject is found in `_called` and `_by_name`: a card's is its node's name and index."""
    _gpus: dict[Subject, dict[Subject, None]] = field(default_factory=dict)
    """The cards of a node."""
    _cards: PciIndex = field(default_factory=PciIndex)
    _history: History = field(default_factory=History)
    _against: dict[Subject, tuple[Contradiction, ...]] = field(default_factory=dict)
    _racks: dict[tuple[str, str], set[Subject]] = field(default_factory=dict)
    """Nodes by (rack or nvlink_domain or pool, its id)."""

    # What is told

    def learn(self, batch: Batch, received_ns: int) -> None:
        """Take in what a batch says about its subjects; a subject without facts is known by its key alone.

        On the ingest path: a batch that says nothing new costs one comparison, and one more a fact.
        """
        for facts in batch.facts:
            subject = facts.subject
            held = self._collected.get(subject) or self.facts.get(subject)
            if held is not facts and held != facts:
                self._collect(facts, received_ns)
        if self._rosters.get(batch.node) != batch.subjects:
            self._rosters[batch.node] = batch.subjects
            for subject in (batch.node, *batch.subjects):
                if subject not in self.facts:
                    node = batch.node if subject != batch.node else None
                    self._collect(SubjectFacts(subject=subject, name=subject.id, node=node), received_ns)

    def tell(self, source: Source, told: Iterable[SubjectFacts], now_ns: int) -> None:
        """Take in what another source than a collector says about subjects by key; it replaces what it said before."""
        for facts in told:
            by_source = self._told.setdefault(facts.subject, {})
            if by_source.get(source) != facts:
                by_source[source] = facts
                self._settle(facts.subject, now_ns)

    def tell_by_name(self, source: Source, told: Mapping[tuple[SubjectKind, str], dict[str, str]], now_ns: int) -> None:
        """All that a source knows by name (`node-a`, `node-a/gpu3`): it holds of whoever bears the name, today's node
        and the one that replaces it. It replaces all that the source said by name before.
        """
        stale = {name for name, by_source in self._by_name.items() if source in by_source}
        changed = {name for name in stale | set(told) if self._by_name.get(name, {}).get(source) != told.get(name)}
        for name in changed:
            by_source = self._by_name.setdefault(name, {})
            if name in told:
                by_source[source] = dict(told[name])
            else:
                by_source.pop(source, None)
                if not by_source:
                    del self._by_name[name]
        for name in changed:
            for subject in tuple(self._called.get(name, ())):
                self._settle(subject, now_ns)

    def untell(self, source: Source, subject: Subject, now_ns: int, because: str = "") -> None:
        """A source no longer states anything about a subject. `because`: it is gone from the cluster, and why."""
        by_source = self._told.get(subject)
        if by_source is not None and source in by_source:
            if because:
                self._bury(subject, now_ns, because)
            del by_source[source]
            if not by_source:
                del self._told[subject]
            if not because:
                self._settle(subject, now_ns)

    # What holds

    def attribute(self, subject: Subject, key: str) -> str | None:
        """One attribute of a subject; None where nobody has told."""
        facts = self.facts.get(subject)
        return facts.attributes.get(key) if facts else None

    def node_of(self, subject: Subject) -> Subject | None:
        """The node that a subject sits in."""
        if subject.kind is SubjectKind.NODE:
            return subject
        facts = self.facts.get(subject)
        return facts.node if facts else None

    def pod_of(self, subject: Subject) -> Subject | None:
        """The pod that holds a GPU."""
        pod = self.attribute(subject, "pod_uid")
        return Subject(subject.cluster, SubjectKind.POD, pod) if pod else None

    def job_of(self, subject: Subject) -> Subject | None:
        """The job that a GPU or a pod works for: as its collector says, else its pod's."""
        if subject.kind is SubjectKind.JOB:
            return subject
        facts = self.facts.get(subject)
        if facts is None:
            return None
        job = facts.attributes.get("job")
        if job is None and "pod_uid" in facts.attributes:
            pod = self.facts.get(Subject(subject.cluster, SubjectKind.POD, facts.attributes["pod_uid"]))
            job = pod.attributes.get("job") if pod else None
        return Subject(subject.cluster, SubjectKind.JOB, job) if job else None

    def laid_out(self, subject: Subject, key: str) -> str | None:
        """`rack`, `nvlink_domain` or `pool` of a subject: its own, else its node's."""
        own = self.attribute(subject, key)
        if own is not None:
            return own
        node = self.node_of(subject)
        return self.attribute(node, key) if node is not None and node != subject else None

    def rack_of(self, subject: Subject) -> Subject | None:
        """The rack that a subject stands in."""
        rack = self.laid_out(subject, "rack")
        return Subject(subject.cluster, SubjectKind.RACK, rack) if rack else None

    def domain_of(self, subject: Subject) -> Subject | None:
        """The NVLink domain (`nvidia.com/gpu.clique`), as the switch that makes it."""
        domain = self.laid_out(subject, "nvlink_domain")
        return Subject(subject.cluster, SubjectKind.SWITCH, domain) if domain else None

    def gpus_of(self, node: Subject) -> tuple[Subject, ...]:
        """The GPUs that sit in a node, as far as anybody has told."""
        return tuple(self._gpus.get(node, ()))

    def nodes_at(self, key: str, value: str) -> frozenset[Subject]:
        """The nodes of a rack, NVLink domain or pool that the cluster still has."""
        return frozenset(node for node in self._racks.get((key, value), ()) if node not in self.gone)

    def name_of(self, subject: Subject) -> str:
        """What people call it; its id where nobody has told."""
        facts = self.facts.get(subject)
        return facts.name if facts and facts.name else subject.id

    def called(self, kind: SubjectKind, name: str) -> tuple[Subject, ...]:
        """Whoever bears a name or has borne it, the newest first: jobs share names, pods and nodes come again."""
        return tuple(reversed(self._called.get((kind, name), {})))

    def names(self, subject: Subject) -> dict[str, str]:
        """`node`, `gpu`, `rank`, `job`, `rack` and `nvlink_domain` of a subject by name, each only where known."""
        found: dict[str, str] = {}
        node, job = self.node_of(subject), self.job_of(subject)
        if node:
            found["node"] = self.name_of(node)
        if subject.kind is SubjectKind.GPU:
            for key, attribute in (("gpu", "index"), ("rank", "rank")):
                value = self.attribute(subject, attribute)
                if value is not None:
                    found[key] = value
        if job:
            found["job"] = self.name_of(job)
        for key in ("rack", "nvlink_domain"):
            value = self.laid_out(subject, key)
            if value is not None:
                found[key] = value
        return found

    def gpu_at(self, node: Subject, pci_bus_id: str) -> Subject | None:
        """The GPU of a node at a PCI address, `0000:18:00` or longer, any case; also after it has left the bus."""
        return self._cards.find(node, pci_bus_id)

    def said_by(self, source: Source) -> list[SubjectFacts]:
        """All that a source other than the collectors says now, by key."""
        return [by_source[source] for by_source in list(self._told.values()) if source in by_source]

    # Since when, by whom, against whom

    def fact(self, subject: Subject, key: str) -> Fact | None:
        """The present value of an attribute (`name` and `node` too), its source, and since when it is known."""
        known_ns = self.known_since_ns.get(subject, 0)
        return present(self._all_told(subject), key, self._history.since_ns(subject, key, known_ns))

    def since_ns(self, subject: Subject, key: str) -> int:
        """Since when an attribute is as it is now, absent or not, as far as is known; 0: nobody told of the subject."""
        return self._history.since_ns(subject, key, self.known_since_ns.get(subject, 0))

    def history(self, subject: Subject, key: str) -> tuple[Fact, ...]:
        """All values of an attribute that are remembered, oldest first, the present one last."""
        now = self.fact(subject, key)
        return self._history.past(subject, key) + ((now,) if now is not None else ())

    def value_at(self, subject: Subject, key: str, time_ns: int) -> str | None:
        """What held at a time; None where nothing is known of that time."""
        for fact in self.history(subject, key):
            if fact.since_ns <= time_ns and (fact.until_ns is None or time_ns < fact.until_ns):
                return fact.value
        return None

    @property
    def contradictions(self) -> list[Contradiction]:
        """Where sources disagree now, the oldest first. Any thread may ask: the list of them is taken in one step."""
        found = [one for several in list(self._against.values()) for one in several]
        return sorted(found, key=lambda one: (one.since_ns, str(one.subject), one.key))

    # Inside

    def _collect(self, facts: SubjectFacts, now_ns: int) -> None:
        if facts.subject in self.gone:
            del self.gone[facts.subject]  # a collector speaks of it: it is there, whatever the cluster says
        self._collected[facts.subject] = facts
        self._settle(facts.subject, now_ns)

    def _all_told(self, subject: Subject) -> dict[Source, SubjectFacts]:
        """Every source's word on a subject; what a source says by name stands behind what it says by key."""
        told: dict[Source, SubjectFacts] = {}
        own = self._collected.get(subject)
        if own is None and subject not in self._told:
            own = self.facts.get(subject)
        if own is not None:
            told[Source.COLLECTOR] = own
        by_key = self._told.get(subject, {})
        named = self._by_name.get((subject.kind, self._alias.get(subject, "")), {}) if self._by_name else {}
        for source in _SOURCES:
            one, extra = by_key.get(source), named.get(source)
            if one is not None:
                told[source] = one if not extra else SubjectFacts(subject, one.name, one.node, extra | one.attributes)
            elif extra:
                told[source] = SubjectFacts(subject, "", None, extra)
        return told

    def _settle(self, subject: Subject, now_ns: int) -> None:
        """Work out anew what holds of one subject."""
        told = self._all_told(subject)
        if not told:
            self._forget(subject)
            return
        before, after = self.facts.get(subject), merged(told)
        if len(told) > 1 or subject in self._against:
            self._compare(subject, told, after, now_ns)
        if before == after:
            return
        self.facts[subject] = after
        self.generation += 1
        if before is None:
            self.known_since_ns[subject] = now_ns
        else:
            self._history.note(before, after, self.known_since_ns.get(subject, now_ns), now_ns)
        self._index(subject, before, after, now_ns)

    def _compare(self, subject: Subject, told: Mapping[Source, SubjectFacts], after: SubjectFacts, now_ns: int) -> None:
        """Note where the sources disagree about one subject; what was noted before keeps its time."""
        held = {(c.key, c.believed, c.value, c.other, c.other_value): c for c in self._against.pop(subject, ())}
        found: list[Contradiction] = []
        for key in sorted(keys_of(told.values())):
            source = believed(told, key)
            value = stated(told[source], key) if source is not None else None
            if source is None or value is None:
                continue
            for other, facts in told.items():
                other_value = stated(facts, key)
                if other_value is not None and other_value != value:
                    new = Contradiction(
                        subject, after.name or subject.id, key, source, value, other, other_value, now_ns
                    )
                    found.append(held.get((key, source, value, other, other_value), new))
        if found and len(self._against) < MOST_CONTRADICTIONS:
            self._against[subject] = tuple(found)

    def _index(self, subject: Subject, before: SubjectFacts | None, after: SubjectFacts, now_ns: int) -> None:
        kind = subject.kind
        self.belonging.note(after)
        if kind is SubjectKind.GPU:
            self._index_card(subject, before, after, now_ns)
        elif kind in (SubjectKind.NODE, SubjectKind.POD, SubjectKind.JOB):
            self._call(subject, after.name, now_ns)
        if kind is SubjectKind.NODE:
            if before is not None and before.name != after.name:
                for card in self.gpus_of(subject):
                    self._call(card, self._card_name(self.facts[card]), now_ns)
            for key in LAYOUT:
                old, new = (before.attributes.get(key) if before else None), after.attributes.get(key)
                if old != new:
                    if old is not None:
                        self._racks[key, old].discard(subject)
                    if new is not None:
                        self._racks.setdefault((key, new), set()).add(subject)

    def _index_card(self, card: Subject, before: SubjectFacts | None, after: SubjectFacts, now_ns: int) -> None:
        address = after.attributes.get("pci_bus_id", "")
        if before is not None and before.node is not None and before.node != after.node:
            self._cards.take(before.node, before.attributes.get("pci_bus_id", ""), card)
            self._gpus.get(before.node, {}).pop(card, None)
        if after.node is not None:
            self._cards.put(after.node, address, card)
            self._gpus.setdefault(after.node, {})[card] = None
        self._call(card, self._card_name(after), now_ns)

    def _card_name(self, facts: SubjectFacts) -> str:
        index = facts.attributes.get("index")
        return f"{self.name_of(facts.node)}/gpu{index}" if facts.node is not None and index is not None else ""

    def _call(self, subject: Subject, name: str, now_ns: int) -> None:
        """Find a subject under this name from now on; what files say of the name holds of it."""
        old = self._alias.get(subject, "")
        if name == old:
            return
        self._uncall((subject.kind, old), subject)
        self._alias[subject] = name
        if name:
            self._called.setdefault((subject.kind, name), {})[subject] = None
        if (subject.kind, name) in self._by_name or (subject.kind, old) in self._by_name:
            self._settle(subject, now_ns)

    def _uncall(self, name: tuple[SubjectKind, str], subject: Subject) -> None:
        """A name is borne no more; what bears none was never called so."""
        bearers = self._called.get(name)
        if bearers is not None:
            bearers.pop(subject, None)
            if not bearers:
                del self._called[name]

    def _bury(self, subject: Subject, now_ns: int, because: str) -> None:
        self.gone[subject] = Gone(now_ns, because)
        self.belonging.leave(subject)
        self.generation += 1
        while len(self.gone) > MOST_GONE:
            self._forget(next(iter(self.gone)))

    def _forget(self, subject: Subject) -> None:
        """Nothing more is known of a subject that is long gone."""
        self.gone.pop(subject, None)
        self.belonging.leave(subject)
        facts = self.facts.pop(subject, None)
        self.known_since_ns.pop(subject, None)
        for held in (self._collected, self._rosters, self._against, self._gpus):
            held.pop(subject, None)
        if facts is not None:
            self.generation += 1
            self._history.forget(subject, keys_of((facts,)))
            if facts.node is not None:
                self._gpus.get(facts.node, {}).pop(subject, None)
                self._cards.take(facts.node, facts.attributes.get("pci_bus_id", ""), subject)
            self._uncall((subject.kind, self._alias.pop(subject, "")), subject)
            for key in LAYOUT:
                self._racks.get((key, facts.attributes.get(key, "")), set()).discard(subject)
