"""The journal of plans over the store, and what holds for all plans: the pause and the generation.

Every write is compare-and-set, and its audit entry, the event that shows on the incident and the step that guards will
count are in the same transaction: either all of it happened or none.
"""

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

import msgspec
from sqlalchemy import Connection

from agent.store import documents
from agent.store.tables import audit, events, incidents, plans, switches
from collectors.errors import GiveUp
from collectors.model import Event, EventKind, EventSource, Origin, Subject, SubjectKind
from detectors.model import Incident
from policies.cluster_view import Taken
from policies.journal import OVER, PlanEntry, PlanState, Stale, StepState
from policies.model import Decision
from policies.succession import follow

T = TypeVar("T")
ACTOR = "watchstander"
_PAUSE, _GENERATION = "pause", "generation"
_CANDIDATES = 5
_ENDED = (StepState.DONE, StepState.FAILED)
MOST_OF_INCIDENT = 200
"""Plans of one incident that a new decision is laid beside."""


class Pause(msgspec.Struct, frozen=True):
    """Nothing acts (G20)."""

    who: str
    reason: str
    """Hostile, as all text from outside."""
    time_ns: int


class _Generation(msgspec.Struct, frozen=True):
    number: int
    holder: str


class Transactions(Protocol):
    """What the journal needs of `agent.store.store.Store`."""

    def transact(self, work: Callable[[Connection], T]) -> T:
        """Run it in one transaction; again where another writer was faster at the audit."""
        ...

    def reading(self) -> AbstractContextManager[Connection]:
        """A connection to read with."""
        ...


class StoreJournal:
    """`policies.journal.Journal` over the store. Safe for threads; raises RetryLater where the database is away."""

    def __init__(self, store: Transactions) -> None:
        self._store = store

    def open(self, entry: PlanEntry, *, actor: str = ACTOR, what: str = "plan") -> PlanEntry:
        """Put in a plan; the same plan that is not over comes back as it stands, one that is over begins anew."""

        def work(connection: Connection) -> PlanEntry:
            held = plans.get(connection, entry.plan.id)
            if held is not None and held.state not in OVER:
                return held
            opened = msgspec.structs.replace(
                entry, version=held.version + 1 if held else 1, generation=held.generation if held else 0
            )
            if not (plans.replace(connection, opened, version=held.version) if held else plans.add(connection, opened)):
                raise Stale(f"plan {entry.plan.id} was written by another just now")
            self._note(connection, opened, actor, what, opened.reason or _words(opened))
            return opened

        return self._store.transact(work)

    def get(self, plan_id: str) -> PlanEntry | None:
        """By its whole id."""
        with self._store.reading() as connection:
            return plans.get(connection, plan_id)

    def find(self, id_or_prefix: str) -> PlanEntry | None:
        """By its id or the beginning of it, in any case, with or without `PLN-`; GiveUp where several begin so."""
        with self._store.reading() as connection:
            found = plans.by_prefix(connection, id_or_prefix, _CANDIDATES + 1)
        return only_plan(id_or_prefix, found)

    def unfinished(self) -> list[PlanEntry]:
        """All that are not over, oldest first."""
        with self._store.reading() as connection:
            return plans.unfinished(connection)

    def listed(
        self,
        *,
        states: Collection[PlanState] | None = None,
        incident: str | None = None,
        limit: int = 100,
        before_ns: int | None = None,
    ) -> list[PlanEntry]:
        """Newest first by the time at which they were made."""
        with self._store.reading() as connection:
            return plans.newest(connection, states=states, incident=incident, limit=limit, before_ns=before_ns)

    def follow(self, connection: Connection, decision: Decision) -> None:
        """What a decision makes of the plans of its incident, in the transaction that keeps it."""
        if decision.origin is Origin.REPLAY:
            return
        held = plans.newest(connection, incident=decision.incident, limit=MOST_OF_INCIDENT)
        if decision.plan is None and all(entry.state in OVER for entry in held):
            return
        for change in follow(decision, held):
            known = {entry.plan.id: entry for entry in held}.get(change.entry.plan.id) if change.new else change.entry
            version = known.version if known is not None else 0
            generation = known.generation if known is not None else 0
            written = msgspec.structs.replace(change.entry, version=version + 1, generation=generation)
            if known is None:
                put = plans.add(connection, written)
            else:
                put = plans.replace(connection, written, version=version)
            if put:  # another writer at this very moment knows better: the next decision finds what it wrote
                self._note(connection, written, ACTOR, change.what, change.detail)

    def highest_generation(self) -> int:
        """The newest generation under which a plan was claimed; 0 where none was."""
        with self._store.reading() as connection:
            return plans.highest_generation(connection)

    def write(self, entry: PlanEntry, *, actor: str, what: str, detail: str) -> PlanEntry:
        """See `policies.journal.Journal.write`; `detail` is a sentence for people."""

        def work(connection: Connection) -> PlanEntry:
            # what steps came to is told by what they were before; a claim ends none, and need not read
            ends = any(step.state in _ENDED for step in entry.steps)
            before = plans.get(connection, entry.plan.id) if ends else None
            written = msgspec.structs.replace(entry, version=entry.version + 1)
            if not plans.replace(connection, written, version=entry.version):
                held = plans.get(connection, entry.plan.id)
                if held is None:
                    raise Stale(f"plan {entry.plan.id} is not in the journal")
                raise Stale(
                    f"plan {entry.plan.id} stands at version {held.version} of generation {held.generation},"
                    f" this was read at {entry.version} of {entry.generation}"
                )
            self._note(connection, written, actor, what, detail)
            if before is not None:
                self._note_steps(connection, before, written, actor)
            return written

        return self._store.transact(work)

    def taken(self, since_ns: int) -> list[Taken]:
        """Steps that were carried out since then, the oldest first."""
        with self._store.reading() as connection:
            return plans.taken(connection, since_ns)

    # what holds for all plans

    def pause(self, who: str, reason: str, now_ns: int) -> Pause:
        """Nothing acts from now on; audited. A second pause takes the place of the first."""
        pause = Pause(who, reason, now_ns)

        def work(connection: Connection) -> Pause:
            switches.write(connection, _PAUSE, now_ns, documents.encode(pause))
            detail = documents.encode({"title": f"all actions paused: {reason}"})
            audit.append(connection, time_ns=now_ns, actor=who, what="pause", about="actions", detail=detail)
            return pause

        return self._store.transact(work)

    def resume(self, who: str, now_ns: int, note: str = "") -> bool:
        """Actions go on; audited. False where nothing was paused."""

        def work(connection: Connection) -> bool:
            if _read(connection, _PAUSE, Pause | None, lock=True) is None:
                return False
            switches.write(connection, _PAUSE, now_ns, "null")
            detail = documents.encode({"title": f"actions resumed{f': {note}' if note else ''}"})
            audit.append(connection, time_ns=now_ns, actor=who, what="resume", about="actions", detail=detail)
            return True

        return self._store.transact(work)

    def paused(self) -> Pause | None:
        """Who has paused all actions; None where nobody has."""
        with self._store.reading() as connection:
            pause: Pause | None = _read(connection, _PAUSE, Pause | None)
            return pause

    def next_generation(self, holder: str, now_ns: int) -> int:
        """A generation above all before: for an agent whose store has no second owner, so that no Lease is needed."""

        def work(connection: Connection) -> int:
            before: _Generation | None = _read(connection, _GENERATION, _Generation, lock=True)
            number = before.number + 1 if before else 1
            switches.write(connection, _GENERATION, now_ns, documents.encode(_Generation(number, holder)))
            detail = documents.encode({"title": f"{holder} leads under generation {number}"})
            audit.append(connection, time_ns=now_ns, actor=ACTOR, what="lead", about="actions", detail=detail)
            return number

        return self._store.transact(work)

    # in the transaction of a write

    def _note(self, connection: Connection, entry: PlanEntry, actor: str, what: str, title: str) -> None:
        detail = {
            "title": title,
            "incident": entry.plan.incident,
            "digest": entry.plan.digest,
            "state": entry.state,
            "version": entry.version,
            "generation": entry.generation,
            "holder": entry.holder,
            "steps": [{"kind": step.kind, "target": str(step.target)} for step in entry.plan.steps],
            "progress": entry.steps,
            "approval": entry.approval,
        }
        audit.append(
            connection,
            time_ns=entry.updated_ns,
            actor=actor,
            what=what,
            about=entry.plan.id,
            detail=documents.encode(detail),
        )

    def _note_steps(self, connection: Connection, before: PlanEntry, after: PlanEntry, actor: str) -> None:
        news = [
            index
            for index, (old, new) in enumerate(zip(before.steps, after.steps))
            if new.state in _ENDED and old.state is not new.state
        ]
        if not news:
            return
        known = incidents.locked(connection, [after.plan.incident])
        incident = known[0] if known else None
        done = [index for index in news if after.steps[index].state is StepState.DONE]
        plans.note_taken(connection, after.plan.id, [(index, _taken(after, index, incident)) for index in done])
        if incident is not None and incident.origin is not Origin.REPLAY:
            events.save(connection, [_event(after, index, incident, actor) for index in news])


def only_plan(asked: str, found: Sequence[PlanEntry]) -> PlanEntry | None:
    """The only one that fits; GiveUp names the candidates where several do."""
    if len(found) > 1:
        names = ", ".join(entry.plan.id for entry in found[:_CANDIDATES])
        raise GiveUp(f"{asked[:60]} is the beginning of more than one plan: {names}; give more of it")
    return found[0] if found else None


def _taken(entry: PlanEntry, index: int, incident: Incident | None) -> Taken:
    step, target = entry.plan.steps[index], entry.plan.steps[index].target
    of_node = target.kind == "Node"
    return Taken(
        time_ns=entry.steps[index].ended_ns or entry.updated_ns,
        what=step.kind.value,
        node=target.uid if of_node else "",
        incident=entry.plan.incident,
        root_kind=incident.kind.value if incident else "",
        job="" if of_node else target.uid,
        rule=entry.plan.rule,
    )


def _event(entry: PlanEntry, index: int, incident: Incident, actor: str) -> Event:
    step, at = entry.plan.steps[index], entry.steps[index]
    cluster = incident.subject.cluster
    of_node = step.target.kind == "Node"
    words = step.words or f"{step.kind.value} {step.target}"
    return Event(
        kind=EventKind.ACTION,
        subject=Subject(cluster, SubjectKind.NODE, step.target.uid) if of_node else incident.subject,
        time_ns=at.ended_ns or entry.updated_ns,
        source=EventSource.AGENT,
        attributes={"plan": entry.plan.id, "step": step.kind.value, "result": at.state.value, "who": actor},
        line=f"{words}: {at.detail}"[:1000],
    )


def _words(entry: PlanEntry) -> str:
    return "; ".join(step.words or f"{step.kind.value} {step.target}" for step in entry.plan.steps)


def _read(connection: Connection, name: str, kind: Any, *, lock: bool = False) -> Any:
    document = switches.read(connection, name, lock=lock)
    return documents.decode(document, kind, f"switch {name}") if document is not None else None
