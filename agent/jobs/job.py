"""One job over its attempts: what its log, the findings about it and the inventory say of it, in order of arrival."""

from dataclasses import dataclass, field

from agent.jobs.record import AttemptRecord, AttemptState, Fault, JobNode, PodsSeen, RevisionRecord
from agent.jobs.saves import Saves
from collectors.model import Event, EventKind, Origin, Subject
from detectors.correlation.xids import xid_codes
from detectors.goodput import LOOK_BACK_NS, Ledger
from detectors.goodput.cause import BLAMES, Cause
from detectors.goodput.pace import Pace
from detectors.goodput.stretch import Base
from detectors.model import Finding, FindingKind, Incident

NS = 10**9
SAME_START_NS = 60 * NS
"""Ranks that print that training starts do so within this: a later line is another attempt."""
OTHER_VOICE_NS = 60 * NS
"""Steps are taken from one rank's log (each has its own clock); one that is silent so long is not it any more."""
GONE_AFTER_NS = 24 * 3600 * NS
ENDED_AFTER_NS = 3600 * NS
"""An attempt of which nothing more is heard is closed: after a day, or an hour if it has ended or failed."""
MOST_STEP = 2**53
MOST_NOTES = 8
DEADLY = frozenset(kind for kind, blame in BLAMES.items() if blame.cause is Cause.FAILURE)
_DYING = frozenset(
    {
        EventKind.COLLECTIVE_TIMEOUT,
        EventKind.TRACEBACK,
        EventKind.CUDA_ERROR,
        EventKind.CUDA_OUT_OF_MEMORY,
        EventKind.PROCESS_EXIT,
    }
)
_NAMES_WHO_SPOKE = frozenset(
    {FindingKind.COLLECTIVE_TIMEOUT, FindingKind.JOB_CRASH, FindingKind.TELEMETRY_LOST, FindingKind.UNUSUAL}
)
"""Roots whose rank may be one that only waited, or was not heard: the earliest word of a failure counts then."""
_TOLD = frozenset(
    {
        EventKind.TRAINING_START,
        EventKind.TRAINING_STEP,
        EventKind.CHECKPOINT_START,
        EventKind.CHECKPOINT_END,
        EventKind.CHECKPOINT_RESTORE,
        EventKind.EVALUATION_START,
        EventKind.EVALUATION_END,
    }
)
"""A log that says one of these is a training log."""


@dataclass(slots=True)
class Attempt:
    """One attempt, alive or lately over."""

    number: int
    ledger: Ledger
    because: str
    start_line_ns: int = 0
    """When its log first said that training starts; 0: never."""
    first_step: int | None = None
    ended_in_order: bool = False
    failed: bool = False
    gone: bool = False
    fault: Fault | None = None
    dying: dict[str, int] = field(default_factory=dict)
    """Rank to when it first reported a failure."""
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Something that a reader of the card should know; each sentence once."""
        if text not in self.notes and len(self.notes) < MOST_NOTES:
            self.notes.append(text)


class Job:
    """Feed it through `JobBook`; `record` says how its newest attempt stands."""

    def __init__(self, origin: Origin, subject: Subject, started_ns: int, *, speaks: bool) -> None:
        """`speaks`: a line of its log has come; else it is known by the GPUs that it holds."""
        self.origin, self.subject = origin, subject
        self.name = subject.id
        self.world_size: int | None = None
        self.nodes: tuple[JobNode, ...] = ()
        self.image = ""
        self.saves = Saves()
        self.pace = Pace()
        self.attempt = self._new_attempt(1, started_ns, Base.STARTING if speaks else Base.SILENT, "first seen")
        self.before: Attempt | None = None
        """The attempt before, as long as claims may still reach it."""
        self.heard_ns = started_ns
        self.dirty = True
        """Something that must not wait for the next regular saving."""
        self.closed = False
        self.marked = ""
        """The owner's own number of the attempt, where the inventory knows one."""
        self.owner = ""
        """Key of what owns its pods in Kubernetes."""
        self.pods: PodsSeen | None = None
        self.namespaces: tuple[str, ...] = ()
        """Of its pods, all that there ever were."""
        self._placed = 0
        self._voice: str | None = None
        self._voice_ns = 0
        self._restart: tuple[int, str] | None = None
        """When the log last said, since the last step, that it restores."""

    # what the log says

    def on_event(self, event: Event, now_ns: int) -> None:
        """One event about this job, in order of arrival."""
        kind = event.kind
        if kind is EventKind.TRAINING_STEP:
            self._step(event, now_ns)
            return
        self.heard_ns = now_ns
        ledger = self.attempt.ledger
        if kind in _TOLD:
            self._speaks()
        at_ns = min(event.time_ns, now_ns)
        if kind is EventKind.TRAINING_START:
            self._starts(at_ns)
        elif kind is EventKind.CHECKPOINT_START:
            self.saves.begins(_step_of(event), at_ns, event.attributes.get("path", ""))
            ledger.announce("checkpoint", at_ns)
        elif kind is EventKind.CHECKPOINT_END:
            self.saves.ends(_step_of(event), at_ns, event.attributes.get("path", ""))
            ledger.over("checkpoint", at_ns, _duration_ns(event))
        elif kind is EventKind.CHECKPOINT_RESTORE:
            self._restart = (at_ns, "its log says that it restores a checkpoint")
            ledger.announce("restore", at_ns)
        elif kind is EventKind.EVALUATION_START:
            ledger.announce("evaluation", at_ns)
        elif kind is EventKind.EVALUATION_END:
            ledger.over("evaluation", at_ns, _duration_ns(event))
        elif kind is EventKind.TRAINING_END or (kind is EventKind.PROCESS_EXIT and event.values.get("exit_code") == 0):
            if not self.attempt.failed:
                self.attempt.ended_in_order = True
                ledger.turn(Base.ENDED, at_ns)
        elif kind is EventKind.FLIGHT_RECORDER:
            size = event.values.get("world_size", 0.0)
            if self.world_size is None and 0 < size < 10**7:
                self.world_size = int(size)
                self.has_gpus(self._placed, now_ns)
            return
        elif kind in _DYING:
            rank = event.attributes.get("rank", "")
            if rank and len(self.attempt.dying) < 100_000:
                self.attempt.dying.setdefault(rank, at_ns)
        else:
            return
        self.dirty = True

    def _step(self, event: Event, now_ns: int) -> None:
        rank = event.attributes.get("rank", "")
        if rank != self._voice:
            if self._voice is not None and now_ns - self._voice_ns < OTHER_VOICE_NS:
                return
            self._voice = rank
        self._voice_ns = self.heard_ns = now_ns
        self._speaks()
        attempt, step = self.attempt, _step_of(event)
        last = attempt.ledger.last_step
        at_ns = min(event.time_ns, now_ns)
        if step is not None and last is not None:
            if step == last:
                return
            if step < last:
                attempt = self._back(step, last, at_ns)
        if attempt.first_step is None:
            attempt.first_step = step
            self.dirty = True
        attempt.ledger.step(step, at_ns, int(max(0.0, min(event.values.get("data_wait_seconds", 0.0), 1e6)) * NS))
        if attempt.failed or attempt.ended_in_order:
            # it went on: what looked like an end was none
            attempt.failed = attempt.ended_in_order = False
            attempt.dying.clear()
            self.dirty = True
        self._restart = None
        if self.saves.stepped():
            self.dirty = True

    def _speaks(self) -> None:
        if self.attempt.ledger.base is Base.SILENT:
            self.attempt.ledger.speaks()
            self.dirty = True

    def _starts(self, at_ns: int) -> None:
        attempt = self.attempt
        begun = attempt.first_step is not None or attempt.failed or attempt.ended_in_order
        again = attempt.start_line_ns and at_ns - attempt.start_line_ns < SAME_START_NS
        if begun and not (again and not attempt.failed and not attempt.ended_in_order):
            self._begin(at_ns, "its log says that training starts")
        self.attempt.start_line_ns = self.attempt.start_line_ns or at_ns

    def _back(self, step: int, last: int, at_ns: int) -> Attempt:
        """The step number has gone back: another attempt."""
        if self._restart is not None:
            since_ns, because = self._restart
        elif self.attempt.failed:
            since_ns, because = at_ns, f"its steps went back from {last:,} to {step:,} after the failure"
        else:
            since_ns, because = self.attempt.ledger.last_step_ns, f"its steps went back from {last:,} to {step:,}"
        silent = self._restart is None and not self.attempt.failed
        attempt = self._begin(since_ns, because)
        if silent:
            attempt.note(f"The step number went back from {last:,} to {step:,} without a word of the log.")
        return attempt

    # what the findings and incidents say

    def on_finding(self, finding: Finding, now_ns: int, *, known: bool = False) -> None:
        """A finding about this job opened, changed or cleared."""
        blame = BLAMES.get(finding.kind)
        if blame is None:
            return
        for attempt in (self.before, self.attempt):
            if attempt is None:
                continue
            ended = attempt.ledger.ended_ns
            if ended is not None and finding.since_ns >= ended:
                continue
            if (
                attempt is self.attempt
                and blame.cause is Cause.FAILURE
                and finding.since_ns < attempt.ledger.started_ns
            ):
                continue  # the attempt before died of it
            attempt.ledger.claim(finding, now_ns, known=known)
            if blame.cause is Cause.FAILURE and attempt.ledger.failed(finding.id) and not attempt.ended_in_order:
                if attempt is self.attempt:
                    self._fails()
                else:
                    self._had_failed(attempt)
        self.dirty = True

    def on_incident(self, incident: Incident, root: Finding | None, node_id: str) -> None:
        """An incident that this job has part in opened or changed."""
        attempt = self.attempt
        before = self.before
        if before is not None and incident.since_ns < attempt.ledger.started_ns:
            attempt = before
        held = attempt.fault
        deadly = any(kind in DEADLY for kind in incident.kinds or (incident.kind,))
        other = held is not None and held.incident != incident.id
        if other and held is not None and (held.deadly, held.since_ns) > (deadly, incident.since_ns):
            return
        attempt.fault = Fault(
            incident=incident.id,
            kind=incident.kind,
            title=incident.title,
            subject=incident.subject,
            since_ns=incident.since_ns,
            opened_ns=incident.opened_ns,
            names=dict(incident.names),
            node_id=node_id,
            kinds=incident.kinds,
            codes=xid_codes([root]) if root is not None else (),
            signature=_signature(root),
            deadly=deadly,
        )
        self.dirty = True

    # time and the inventory

    def on_time(self, now_ns: int) -> None:
        """Time passes; call it before the events of a tick."""
        if not self.closed:
            self.attempt.ledger.advance(now_ns)
        if self.before is not None:
            self.before.ledger.advance(now_ns)
            if now_ns - (self.before.ledger.ended_ns or now_ns) > LOOK_BACK_NS:
                self.before = None
        if self.closed:
            return
        over = self.attempt.ended_in_order or self.attempt.failed or self.attempt.ledger.gpus == 0
        if now_ns - self.heard_ns > (ENDED_AFTER_NS if over else GONE_AFTER_NS):
            self._close(now_ns)

    def reopen(self, since_ns: int, now_ns: int) -> None:
        """It was closed, and is heard of again."""
        old = self.attempt
        ended_ns = old.ledger.ended_ns or now_ns
        known = [step for step in (old.ledger.peak_step, old.ledger.last_step) if step is not None]
        peak = None if old.ended_in_order else max(known, default=None)
        base = Base.RECOVERING if old.failed else Base.STARTING
        because = "heard of again after it was thought over"
        self.before = None
        self.attempt = self._new_attempt(old.number + 1, max(ended_ns, min(since_ns, now_ns)), base, because, peak)
        self.attempt.ledger.advance(now_ns)
        self._voice, self._restart = None, None
        self.closed, self.dirty, self.heard_ns = False, True, now_ns

    def has_gpus(self, placed: int, now_ns: int) -> None:
        """So many GPUs are placed with it by the inventory; the log's world size counts where that is more."""
        self._placed = placed
        gpus: int | None = max(placed, self.world_size or 0)
        if not placed and self.attempt.ledger.gpus:
            gpus = 0  # it held some, and has let them go
        elif not gpus:
            gpus = None
        if gpus != self.attempt.ledger.gpus:
            self.attempt.ledger.has_gpus(gpus, now_ns)
            self.dirty = True

    @property
    def died_ns(self) -> int | None:
        """Since when its newest attempt lies dead, Unix ns; None while it does not."""
        return self.attempt.ledger.failed_since_ns if self.attempt.failed else None

    def has_pods(self, pods: PodsSeen | None) -> None:
        """What its owner's pods say since it died."""
        if pods != self.pods:
            self.pods, self.dirty = pods, True

    def is_of(self, namespaces: tuple[str, ...]) -> None:
        """Its pods are of these namespaces, "" among them where one is not known."""
        known = tuple(sorted({*self.namespaces, *namespaces}))
        if known != self.namespaces and known != ("",):
            self.namespaces, self.dirty = known, True

    def is_marked(self, mark: str, now_ns: int) -> None:
        """The owner's own number of the attempt."""
        if self.marked and mark != self.marked and self.attempt.first_step is not None:
            self._begin(now_ns, f"its owner calls this attempt {mark[:40]}")
        self.marked = mark

    # what comes of it

    def record(self, attempt: Attempt, now_ns: int) -> AttemptRecord:
        """As it stands."""
        ledger = attempt.ledger
        first, followed = _ranks(attempt)
        alive = attempt is self.attempt
        return AttemptRecord(
            origin=self.origin,
            cluster=self.subject.cluster,
            job=self.subject.id,
            number=attempt.number,
            name=self.name,
            state=_state(attempt),
            started_ns=ledger.started_ns,
            as_of_ns=ledger.now_ns,
            account=ledger.account(),
            began_because=attempt.because,
            ended_ns=ledger.ended_ns,
            base=ledger.base.name,
            gpus=ledger.gpus,
            world_size=self.world_size,
            nodes=self.nodes,
            image=self.image,
            first_step=attempt.first_step,
            last_step=ledger.last_step,
            last_step_ns=ledger.last_step_ns,
            peak_step=ledger.peak_step,
            pace_ns=self.pace.best_ns,
            usual_gap_ns=self.pace.usual_ns,
            failed_since_ns=ledger.failed_since_ns if alive else None,
            saves=self.saves.saves,
            says_save_ends=self.saves.says_ends,
            fault=attempt.fault,
            first_rank=first,
            followed=followed,
            notes=tuple(attempt.notes),
            revisions=tuple(
                RevisionRecord(r.time_ns, r.key, r.cause, r.moved_wall_ns / NS, r.too_late_ns / NS)
                for r in ledger.revisions
            ),
            revised_seconds=ledger.revised_wall_ns / NS,
            owner=self.owner,
            namespaces=self.namespaces,
            pods=self.pods if alive else None,
        )

    def resume(self, record: AttemptRecord) -> None:
        """Go on from the store's row. What was open for revision is settled: the row holds sums, no stretches."""
        self.name, self.world_size, self.nodes, self.image = record.name, record.world_size, record.nodes, record.image
        self.owner, self.pods, self.namespaces = record.owner, record.pods, record.namespaces
        self.saves = Saves(record.saves, says_ends=record.says_save_ends)
        self.pace = Pace(record.pace_ns, record.usual_gap_ns)
        ledger = Ledger(
            record.started_ns,
            peak_step=record.peak_step,
            base=Base[record.base] if record.base in Base.__members__ else Base.STARTING,
            pace=self.pace,
            settled=record.account.copy(),
            settled_ns=record.as_of_ns,
            last_step=record.last_step,
            last_step_ns=record.last_step_ns,
        )
        ledger.has_gpus(record.gpus, record.as_of_ns)
        self.attempt = Attempt(
            record.number,
            ledger,
            record.began_because,
            start_line_ns=record.started_ns,
            first_step=record.first_step,
            ended_in_order=record.state is AttemptState.ENDED,
            failed=record.state is AttemptState.FAILED,
            gone=record.state is AttemptState.GONE,
            fault=record.fault,
            notes=list(record.notes),
        )
        if record.ended_ns is not None:
            ledger.end(record.ended_ns)
            self.closed = True
        elif record.failed_since_ns is not None:
            ledger.fails(record.as_of_ns)
        self.heard_ns = record.as_of_ns
        self.dirty = False

    # inside

    def _new_attempt(self, number: int, started_ns: int, base: Base, because: str, peak: int | None = None) -> Attempt:
        return Attempt(number, Ledger(started_ns, peak_step=peak, base=base, pace=self.pace), because)

    def _begin(self, at_ns: int, because: str) -> Attempt:
        old = self.attempt
        self.saves.died()
        ended_ns = old.ledger.end(at_ns)
        known = [step for step in (old.ledger.peak_step, old.ledger.last_step) if step is not None]
        peak = None if old.ended_in_order else max(known, default=None)
        base = Base.RECOVERING if old.failed else Base.STARTING
        self.before = old
        self.attempt = self._new_attempt(old.number + 1, ended_ns, base, because, peak)
        self.attempt.ledger.has_gpus(old.ledger.gpus, ended_ns)
        self._voice, self._restart = None, None
        self.dirty = True
        return self.attempt

    def _fails(self) -> None:
        self.attempt.failed = True
        self.saves.died()

    def _had_failed(self, attempt: Attempt) -> None:
        """It became known only after the next attempt had begun."""
        attempt.failed = True
        now = self.attempt
        if now.first_step is None and now.ledger.base is Base.STARTING:
            now.ledger.base = Base.RECOVERING
            now.ledger.speaks()

    def _close(self, now_ns: int) -> None:
        attempt = self.attempt
        attempt.gone = not (attempt.failed or attempt.ended_in_order)
        attempt.ledger.end(now_ns)
        self.closed = self.dirty = True


def _state(attempt: Attempt) -> AttemptState:
    if attempt.failed:
        return AttemptState.FAILED
    if attempt.ended_in_order:
        return AttemptState.ENDED
    if attempt.gone:
        return AttemptState.GONE
    if attempt.ledger.ended_ns is not None:
        return AttemptState.REPLACED
    return AttemptState.STARTING if attempt.first_step is None else AttemptState.RUNNING


def _ranks(attempt: Attempt) -> tuple[str, int]:
    """The rank that failed first, and how many reported a failure after it."""
    fault = attempt.fault if attempt.failed else None
    silent = fault is not None and fault.kind not in _NAMES_WHO_SPOKE
    first = fault.names.get("rank", "") if fault is not None and (silent or not attempt.dying) else ""
    if not first and attempt.dying:
        first = min(attempt.dying.items(), key=lambda item: item[1])[0]
    return first, len(attempt.dying.keys() - {first})


def _signature(root: Finding | None) -> str:
    """What tells two faults of one kind apart: the first words of the log line that it rests on, without figures."""
    if root is None:
        return ""
    if root.mark:
        return root.mark
    said = next((e.text for e in root.evidence if e.line and "says: " in e.text), "")
    head = said.partition("says: ")[2].split(":", 1)[0]
    return "".join(c for c in head if not c.isdigit()).strip()[:80]


def _step_of(event: Event) -> int | None:
    step = event.values.get("step")
    return int(step) if step is not None and 0 <= step < MOST_STEP else None


def _duration_ns(event: Event) -> int | None:
    seconds = event.values.get("duration_seconds")
    return int(seconds * NS) if seconds is not None and 0 <= seconds < 1e6 else None
