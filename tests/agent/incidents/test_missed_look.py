"""`missed`: each detector's look at a moment of a recording, and that looking changes nothing."""

from functools import cache
from pathlib import Path

import pytest

from agent.incidents.look import look_at, subject_named, watch_at
from agent.watch import Watch
from collectors.errors import GiveUp
from collectors.model import Origin, Subject, SubjectKind
from collectors.recording.folder import Recording
from collectors.recording.play import play
from collectors.sampling.plan import SamplingPlan
from detectors.looks import LookRow, Verdict, explain_look
from detectors.registry import EVENT_DETECTORS, LOOK_DETECTORS, SITUATION_DETECTORS

RECORDINGS = Path(__file__).parents[3] / "recordings"
DDP4 = RECORDINGS / "h200-ddp4"
START = 1_795_335_280
AT_WORK = 1_795_335_330
IN_STRAGGLER = 1_795_335_370

pytestmark = pytest.mark.slow


seen = cache(watch_at)


def back(at: int, wanted: str = "gpu1") -> list[LookRow]:
    """As `look_back`, but that each moment is played once."""
    return look_at(seen(DDP4, at * 10**9), wanted, at * 10**9)


def of(rows: list[LookRow], detector: str) -> list[LookRow]:
    return [row for row in rows if row.detector == detector]


def test_every_look_and_situation_and_event_detector_says_how_near_it_is() -> None:
    rows = back(AT_WORK)
    known = {kind.__name__ for kind in (*LOOK_DETECTORS, *SITUATION_DETECTORS, *EVENT_DETECTORS)}

    assert known | {"TelemetryLost", "ClockOffset", "Habits", "Rhythm", "Situation"} == {row.detector for row in rows}


def test_a_gpu_at_work_is_judged_and_nothing_is_open() -> None:
    rows = back(AT_WORK)

    assert {Verdict.CLEAR} == {row.verdict for row in of(rows, "EccCorrectableStorm")}
    assert not {Verdict.OPEN} & {row.verdict for row in rows}
    (load,) = [row for row in of(rows, "Habits") if row.quantity == "mean load over the window"]
    assert load.value is not None
    assert 0.8 < load.value < 1.2


def test_before_its_habit_is_learnt_a_detector_is_not_ready_and_never_clear() -> None:
    rows = back(START + 22)
    judged = [row for row in rows if row.detector in ("PowerThrottle", "GpuMemoryLeak", "GpuMemoryDrop")]

    assert judged
    assert {row.verdict for row in judged} <= {Verdict.NOT_READY, Verdict.NO_DATA}


def test_a_straggler_that_was_told_is_open_and_its_gaps_stand_beside_their_thresholds() -> None:
    rows = back(IN_STRAGGLER)
    (straggler,) = of(rows, "Straggler")
    gaps = {row.quantity: row for row in of(rows, "Situation")}

    assert Verdict.OPEN is straggler.verdict
    clock = gaps["clock of the slowest below the median"]
    assert clock.value is not None
    assert clock.threshold is not None
    assert clock.value > clock.threshold


@pytest.mark.parametrize(
    ("wanted", "at", "says"),
    [
        pytest.param("gpu9", AT_WORK, "nothing here is called", id="no such card"),
        pytest.param("", AT_WORK, "nothing here is called", id="empty"),
        pytest.param("gpu1", 5, "lies outside", id="before it begins"),
        pytest.param("gpu1", 4_000_000_000, "lies outside", id="after it ends"),
    ],
)
def test_what_is_not_there_gets_one_clear_line(wanted: str, at: int, says: str) -> None:
    with pytest.raises(GiveUp, match=says):
        back(at, wanted)


def test_looking_at_every_subject_at_every_tick_changes_no_finding() -> None:
    def played(look: bool) -> list[object]:
        recording = Recording(RECORDINGS / "h200-xid")
        watch = Watch(Origin.REPLAY, recording.identity.cluster)
        told: list[object] = []
        for now_ns, batch in play(recording, SamplingPlan(), native=False, until_ns=None):
            changes = watch.advance(now_ns)
            told += [*changes.findings, *changes.incidents]
            watch.receive(batch, now_ns)
            if look:
                for subject in [*watch.engine.inventory.facts, Subject("c", SubjectKind.JOB, "nobody")]:
                    explain_look(watch.engine, subject, now_ns)
        return told

    assert played(look=False) == played(look=True)


def test_a_name_that_several_bear_is_refused_with_their_keys() -> None:
    """A recording's job is called as its node."""
    with pytest.raises(GiveUp, match=r"'h200-ddp4' is the name of 2 things: replay-h200-ddp4/job/h200-ddp4, "):
        back(AT_WORK, "h200-ddp4")
    inventory = seen(DDP4, AT_WORK * 10**9).engine.inventory
    subject = subject_named(inventory, "replay-h200-ddp4/job/h200-ddp4")

    assert Subject("replay-h200-ddp4", SubjectKind.JOB, "h200-ddp4") == subject
