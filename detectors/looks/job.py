"""The job detectors' view: the situation that all ranks together make, the log's clock, and the thresholds between."""

from collections.abc import Iterator
from copy import copy

import numpy as np

from collectors.model import Subject
from detectors.gpu.habits import CLASS_NAMES, LOW_L
from detectors.job.joint import JointDetectors
from detectors.job.rhythm import LEARN_GAPS, SLOWED
from detectors.job.situation import CLOCK_GAP, FULL_SPEED_L, POWER_GAP, JobLook, Judge, Situation
from detectors.job.situation_detector import SituationDetector
from detectors.looks.moment import Moment
from detectors.looks.row import LookRow, Verdict, number, side

HEARD_NS = 10_000_000_000
"""As `JointDetectors`: a rank not heard for longer is unknown."""


def rhythm_rows(moment: Moment, job: Subject) -> Iterator[LookRow]:
    """What the job's log says of its pace."""
    rhythm = moment.engine.rhythms.jobs.get(job)
    if rhythm is None or not rhythm.last_step_ns:
        says = "no step line of this job has been seen"
        yield LookRow("Rhythm", (), job, "time since the last step line", None, None, "", None, Verdict.NO_DATA, says)
        return
    since = moment.age_s(rhythm.last_step_ns)
    usual = rhythm.usual_gap_s
    known = Verdict.CLEAR if usual is not None else Verdict.NOT_READY
    yield LookRow(
        "Rhythm", (), job, "time since the last step line", since, usual, "seconds", since, known,
        f"usual gap; known after {LEARN_GAPS} lines; it vetoes and names, alone it opens nothing",
    )  # fmt: skip
    excuse = rhythm.excuse(moment.now_ns)
    if excuse:
        says = f"the log announced {excuse.replace('_', ' ')}: no step is missed meanwhile"
        yield LookRow("Rhythm", (), job, "announced", None, None, "", None, known, says)
    if rhythm.gaps and usual is not None:
        last = rhythm.gaps[-1]
        pace = last.seconds / last.steps / (usual / max(rhythm.usual_steps, 1))
        verdict = side(pace, SLOWED, beyond_above=True)
        says = "last gap per step over the usual; six gaps and 15 s running make a slowdown"
        yield LookRow("Rhythm", (), job, "pace of the last step", pace, SLOWED, "ratio", since, verdict, says)


def situation_rows(moment: Moment, joint: JointDetectors, job: Subject) -> Iterator[LookRow]:
    """The job's situation as a judgement of this moment would see it, and how far each threshold is."""
    engine = moment.engine
    index = engine.jobs.find(job)
    members = engine.jobs.members[index] if index is not None and index < len(engine.jobs.members) else None
    if index is None or members is None or not len(members):
        for detector in joint.detectors:
            yield _row(detector, job, "ranks on GPUs", None, None, "", None, Verdict.NO_DATA, "no GPU of it is known")
        return
    judge = copy(joint._judges.get(index) or Judge())  # a copy: looking changes nothing
    time_ns = int(engine.habits.last_ns[members].max())
    heard = members[time_ns - engine.habits.last_ns[members] <= HEARD_NS]
    look = judge.look(heard, engine.habits, engine.rhythms.jobs.get(job), time_ns)
    age = moment.age_s(time_ns)
    for detector in joint.detectors:
        says = f"opens on {' or '.join(sorted(s.value for s in detector.situations))}, {detector.looks_to_open} looks"
        verdict = _verdict(moment, detector, job, look)
        situation = f"the job is {look.situation.value}"
        yield _row(detector, job, situation, float(len(heard)), None, "ranks", age, verdict, says)
    yield from _thresholds(job, look, age, [CLASS_NAMES[k] for k in engine.habits.category[heard].tolist()])


def _verdict(moment: Moment, detector: SituationDetector, job: Subject, look: JobLook) -> Verdict:
    for finding in (f for kind in detector.kinds for f in moment.engine.book.of_kind(kind)):
        if job == finding.subject or job in finding.related:
            return Verdict.OPEN
    if look.situation is Situation.NOT_READY:
        return Verdict.NOT_READY
    return Verdict.BEYOND if look.situation in detector.situations else Verdict.CLEAR


def _thresholds(job: Subject, look: JobLook, age: float | None, classes: list[str]) -> Iterator[LookRow]:
    ready = look.situation is not Situation.NOT_READY and len(look.cols) > 0
    counted = ", ".join(f"{classes.count(name)} {name}" for name in CLASS_NAMES if name in classes)
    yield LookRow("Situation", (), job, "ranks by class", float(len(classes)), None, "ranks", age,
                  Verdict.CLEAR if ready else Verdict.NOT_READY, counted or "no rank was heard lately")  # fmt: skip
    if not len(look.cols):
        return
    figures: list[tuple[str, float, float, bool, str]] = [
        ("least mean load of a rank", float(look.load.min()), LOW_L, False, "below it a rank waits, spins or is still"),
        ("greatest mean load of a rank", float(look.load.max()), FULL_SPEED_L, False, "slow kinds need all below it"),
    ]
    if len(look.cols) > 1:
        clock, power = look.clock, look.power
        figures += [
            ("clock of the slowest below the median", float(np.median(clock) - clock.min()), CLOCK_GAP, True,
             "straggler: this and the power gap"),
            ("power of the busiest above the median", float(power.max() - np.median(power)), POWER_GAP, True,
             "straggler: this and the clock gap"),
        ]  # fmt: skip
    for quantity, value, threshold, above, says in figures:
        known = number(value)
        verdict = side(known, threshold, beyond_above=above) if ready else Verdict.NOT_READY
        yield LookRow("Situation", (), job, quantity, known, threshold, "ratio", age, verdict, says)


def _row(
    detector: SituationDetector,
    job: Subject,
    quantity: str,
    value: float | None,
    threshold: float | None,
    unit: str,
    age: float | None,
    verdict: Verdict,
    says: str,
) -> LookRow:
    return LookRow(type(detector).__name__, detector.kinds, job, quantity, value, threshold, unit, age, verdict, says)
