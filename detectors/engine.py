"""The detectors at work on one space (one origin and cluster): batches in, findings out at each tick."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from msgspec.structs import replace

from collectors.model import Batch, Event, EventKind, Origin, Subject, SubjectKind
from detectors.book import Book
from detectors.contract import EventDetector, Opinions
from detectors.enrolment import Enrolment
from detectors.frame import NS, Columns, Frame, FrameBuilder
from detectors.gpu.habits import GONE, Habits
from detectors.hardware.gpu_lost import GpuLost
from detectors.hardware.xid import XidDetector
from detectors.job.collective_timeout import CollectiveTimeout
from detectors.job.gpu_out_of_memory import GpuOutOfMemory
from detectors.job.host_stall import HostStall
from detectors.job.job_crash import JobCrash
from detectors.job.joint import JointDetectors
from detectors.job.launcher import with_card
from detectors.job.rhythm import Rhythms
from detectors.loss import LossDetector
from detectors.model import Finding, Inventory
from detectors.registry import LOOK_DETECTORS, SITUATION_DETECTORS
from detectors.silence.clock_offset import LIMIT_S, ClockOffset
from detectors.silence.presence import Presence
from detectors.silence.telemetry_lost import TelemetryLost
from detectors.unusual.learning import UnusualLearner
from detectors.view import Jobs, LookDetector, View

RECENT_S, RECENT_CELLS = 60.0, 100_000
"""Frames kept: at most so old, and so many looks of GPUs together (20 MB)."""
ENDED_S = 5.0
"""All ranks of a job are gone for this long: the next process on these GPUs learns its habits anew."""


@dataclass(slots=True)
class Engine:
    """Receives batches and ticks. Deterministic: the same batches at the same times give the same findings."""

    origin: Origin
    depth: int = 10
    """Looks kept a GPU for the six-second window; 40 for recordings played at their own 5 Hz."""
    inventory: Inventory = field(default_factory=Inventory)
    columns: Columns = field(default_factory=Columns)
    rhythms: Rhythms = field(default_factory=Rhythms)
    jobs: Jobs = field(default_factory=Jobs)
    book: Book = field(init=False)
    habits: Habits = field(init=False)
    clocks: ClockOffset = field(default_factory=ClockOffset)
    silence: TelemetryLost = field(init=False)
    presence: Presence = field(init=False)
    enrolment: Enrolment = field(default_factory=Enrolment)
    unusual: UnusualLearner = field(default_factory=UnusualLearner)
    frames: FrameBuilder = field(init=False)
    looks: tuple[LookDetector, ...] = field(init=False)
    joint: JointDetectors = field(init=False)
    listeners: tuple[EventDetector, ...] = field(init=False)
    recent: deque[Frame] = field(default_factory=deque)
    """The newest frames, for whoever asks how near a detector is to speaking (`detectors.looks`)."""
    _events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.book = Book(self.origin)
        self.habits = Habits(self.depth)
        self.frames = FrameBuilder(self.columns)
        self.silence = TelemetryLost(self.book)
        self.presence = Presence(self.book)
        self.looks = tuple(kind() for kind in LOOK_DETECTORS)
        self.joint = JointDetectors(tuple(kind() for kind in SITUATION_DETECTORS))
        self.listeners = (
            XidDetector(),
            GpuLost(),
            CollectiveTimeout(),
            GpuOutOfMemory(),
            JobCrash(self.rhythms),
            HostStall(self.book, self.rhythms),
            LossDetector(),
        )

    def restore(self, findings: Iterable[Finding]) -> None:
        """Take over what was open before a restart. It stays so until a detector that is ready says that it is over."""
        for finding in findings:
            self.book.restore((finding,))
            for listener in self.listeners:
                if finding.kind in listener.kinds:
                    listener.adopt(finding)
            self.joint.adopt(finding)
            if finding.subject.kind is SubjectKind.GPU:
                for detector in self.looks:
                    if finding.kind in detector.kinds:
                        detector.adopt(self.columns.of(finding.subject), finding)

    def receive(self, batch: Batch, received_ns: int) -> None:
        """Take in one batch; what it says is looked at by the next tick."""
        self.inventory.learn(batch, received_ns)
        self.clocks.heard(batch.node, batch.sent_ns, received_ns)
        self.silence.heard(batch.node, batch.events, received_ns)
        self.presence.heard(batch)
        offset_ns, latest_ns = self.clocks.offset_ns(batch.node), received_ns + int(LIMIT_S * NS)
        self.frames.add(batch, offset_ns, latest_ns)
        for event in self.enrolment.fresh(batch, received_ns):
            # a line that claims to come from the future would hold back every later one of its job
            time_ns = min(event.time_ns + offset_ns, latest_ns)
            if event.kind is EventKind.TRAINING_STEP and event.subject.kind is SubjectKind.JOB:
                self.rhythms.of(event.subject).read_on = batch.node
            placed = with_card(event, batch.node, self.inventory)
            self._events.append(placed if time_ns == event.time_ns else replace(placed, time_ns=time_ns))

    def tick(self, now_ns: int) -> list[Finding]:
        """Look at everything received since the last tick; findings that opened, changed or cleared."""
        changed: dict[str, Finding] = {}
        for event in self._take_events():
            self._hear(event, now_ns, changed)
        self.jobs.follow(self.inventory, self.columns)
        for frame in self.frames.take():
            # what nonsense makes of arithmetic (NaN, infinity) no detector takes for a figure
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                self._look(frame, now_ns, changed)
            self._keep_recent(frame)
        out = Opinions()
        for listener in self.listeners:
            out.said.extend(listener.on_time(now_ns))
        out.said.extend(self.unusual.on_time(self.columns, self.inventory, now_ns))
        self.silence.on_time(self.columns, self.inventory, now_ns, out)
        self.presence.on_time(self.inventory, out)
        self.clocks.on_time(self.inventory, now_ns, out)
        self._apply(out, now_ns, changed)
        return list(changed.values())

    def _keep_recent(self, frame: Frame) -> None:
        """Two dear looks (counters come every 30 s) of a node, the newest look of a fleet; they are there already."""
        recent = self.recent
        recent.append(frame)
        newest_ns, cells = int(frame.times_ns[-1]), sum(len(held.cols) for held in recent)
        while len(recent) > 1 and (
            cells > RECENT_CELLS or newest_ns - int(recent[0].times_ns[-1]) > RECENT_S * 1_000_000_000
        ):
            cells -= len(recent.popleft().cols)

    def _take_events(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    def _hear(self, event: Event, now_ns: int, changed: dict[str, Finding]) -> None:
        if event.subject.kind is SubjectKind.JOB:
            rhythm = self.rhythms.of(event.subject)
            rhythm.on_event(event, quiet=not self.book.touches(event.subject))
            self.book.recoveries.on_event(event)
            if event.kind is EventKind.TRAINING_START:
                self._forget(event.subject, only_gone=True)
        out = Opinions()
        for listener in self.listeners:
            out.said.extend(listener.on_event(event, self.inventory, now_ns))
        if out.said:
            self._apply(out, now_ns, changed)

    def _look(self, frame: Frame, now_ns: int, changed: dict[str, Finding]) -> None:
        self.silence.saw(frame, now_ns)
        self.unusual.saw(frame)
        self.habits.grow(len(self.columns))
        self._freeze(frame)
        at = self.habits.look(frame)
        out = Opinions()
        view = View(
            frame,
            at,
            now_ns,
            self.columns,
            self.habits,
            self.jobs,
            self.rhythms,
            self.inventory,
            self.book,
            out,
        )
        self.presence.saw(frame, at, self.columns, out)
        for detector in self.looks:
            detector.look(view)
        self.joint.look(view)
        if out.said:
            self._apply(out, now_ns, changed)
        self._let_go(frame)

    def _freeze(self, frame: Frame) -> None:
        """Habits stand still while something is open about a GPU or its job."""
        self.habits.frozen[frame.cols] = False
        if not len(self.book):
            return
        touched = np.zeros(len(self.columns), np.bool_)
        for subject in self.book.touched():
            index, column = self.jobs.find(subject), self.columns.find(subject)
            if column is not None:
                touched[column] = True
            if index is not None and index < len(self.jobs.members):
                touched[self.jobs.members[index]] = True
        self.habits.frozen[frame.cols] = touched[frame.cols]

    def _let_go(self, frame: Frame) -> None:
        """Jobs whose ranks are all gone: their GPUs' habits are forgotten."""
        gone = frame.cols[self.habits.category[frame.cols] == GONE]
        if not len(gone):
            return
        for index in np.unique(self.jobs.job_of[gone]).tolist():
            members = self.jobs.members[index] if index >= 0 else gone[self.jobs.job_of[gone] < 0]
            armed = members[self.habits.armed[members]]
            since = self.habits.gone_since_ns[armed]
            if len(armed) and (since > 0).all():
                newest = int(self.habits.last_ns[armed].max())
                if newest - int(since.max()) >= ENDED_S * 1e9:
                    self.habits.forget(armed)

    def _forget(self, job: Subject, *, only_gone: bool) -> None:
        index = self.jobs.find(job)
        if index is None or index >= len(self.jobs.members):
            return
        members = self.jobs.members[index]
        if only_gone:
            members = members[self.habits.gone_since_ns[members] > 0]
        self.habits.forget(members)

    def _apply(self, out: Opinions, now_ns: int, changed: dict[str, Finding]) -> None:
        for finding in self.book.apply(out.said, self.inventory, now_ns):
            changed[finding.id] = finding
