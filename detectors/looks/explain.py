"""All detectors' look at one subject at one moment."""

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from collectors.model import Subject, SubjectKind
from detectors.contract import EventDetector
from detectors.engine import Engine
from detectors.looks.gpu import habit_rows, rows_of
from detectors.looks.job import rhythm_rows, situation_rows
from detectors.looks.moment import Moment
from detectors.looks.row import LookRow, Verdict
from detectors.silence.clock_offset import LIMIT_S
from detectors.silence.telemetry_lost import GPU_SILENT_S, NODE_SILENT_S

MOST_GPUS = 16
"""Of a job or a node: more rows than this many GPUs make nobody reads; ask for one GPU then."""


@runtime_checkable
class Explains(Protocol):
    """A detector that can itself say how near it is to speaking; it is asked before the tables of this package."""

    def explain_look(self, subject: Subject, now_ns: int) -> list[LookRow]:
        """Its quantities about one subject, without changing anything."""
        ...


def explain_look(engine: Engine, subject: Subject, now_ns: int) -> list[LookRow]:
    """Every detector's look at a GPU, a job or a node, as the engine stands at `now_ns`; nothing is changed by it.

    A GPU is seen with its job, a job or node with its GPUs (16 at most). Other subjects, and those that the engine has
    never seen, give only what waits for events.
    """
    moment = Moment(engine, subject, now_ns, tuple(engine.recent))
    rows: list[LookRow] = list(_silence(moment))
    for column in moment.columns[:MOST_GPUS]:
        rows += habit_rows(moment, column)
        for detector in engine.looks:
            if isinstance(detector, Explains):
                rows += detector.explain_look(engine.columns.subjects[column], now_ns)
            else:
                rows += rows_of(detector, moment, column)
    if moment.job is not None:
        rows += rhythm_rows(moment, moment.job)
        rows += situation_rows(moment, engine.joint, moment.job)
    for listener in engine.listeners:
        if isinstance(listener, Explains):
            rows += listener.explain_look(subject, now_ns)
        else:
            rows.append(_waiting(moment, listener))
    return rows


def _silence(moment: Moment) -> Iterator[LookRow]:
    """How long the subject and its node have been silent, and how far the node's clock is off."""
    silence, subject, inventory = moment.engine.silence, moment.subject, moment.engine.inventory
    node = inventory.node_of(subject)
    if node is not None:
        yield _silent(moment, node, moment.age_s(silence._node_ns.get(node, 0)), NODE_SILENT_S)
        offsets = moment.engine.clocks._offsets.get(node)
        best = max(offsets) if offsets else None
        verdict = Verdict.NO_DATA if best is None else Verdict.BEYOND if abs(best) > LIMIT_S else Verdict.CLEAR
        yield LookRow(
            "ClockOffset", moment.engine.clocks.kinds, node, "offset of the node's clock", best, LIMIT_S, "seconds",
            None, verdict, "either way; the best of the last 20 batches",
        )  # fmt: skip
    for column in moment.columns[:MOST_GPUS]:
        seen = int(silence._gpu_ns[column]) if column < len(silence._gpu_ns) else 0
        yield _silent(moment, moment.engine.columns.subjects[column], moment.age_s(seen), GPU_SILENT_S)


def _silent(moment: Moment, subject: Subject, age: float | None, limit: float) -> LookRow:
    what = "batch of the node" if subject.kind is SubjectKind.NODE else "reading of the card"
    silence = moment.engine.silence
    verdict = Verdict.NO_DATA if age is None else Verdict.BEYOND if age > limit else Verdict.CLEAR
    if any(moment.engine.book.is_open(kind, subject) for kind in silence.kinds):
        verdict = Verdict.OPEN
    says = "unless the collector said goodbye" if subject.kind is SubjectKind.NODE else "while its node reports"
    quantity = f"time since the last {what}"
    return LookRow("TelemetryLost", silence.kinds, subject, quantity, age, limit, "seconds", age, verdict, says)


def _waiting(moment: Moment, listener: EventDetector) -> LookRow:
    """An event detector: ready or not, and whether it has something open."""
    about = moment.job or moment.subject
    open_now = moment.is_open(listener.kinds)
    # asking about a job that nobody knows must not make it known
    heard = about in moment.engine.rhythms.jobs or not listener.needs.history_steps
    ready = heard and listener.ready(about)
    verdict = Verdict.OPEN if open_now else Verdict.WAITS if ready else Verdict.NOT_READY
    events = ", ".join(event.value for event in listener.needs.events)
    return LookRow(
        type(listener).__name__, listener.kinds, about, f"events: {events}", None, None, "", None, verdict,
        "speaks when such an event comes" if ready else "has not seen enough of this job",
    )  # fmt: skip
