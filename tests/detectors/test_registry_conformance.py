"""What every detector on the list must do: say what it needs, and survive whatever comes without a word on it."""

import itertools
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from simulated_fleet import JOB, NODE, NS, T0, Fleet, batch, event, gpu, table

from agent.replay import replay
from collectors.model import CATALOGUE, EventKind, EventSource, Origin, Subject, SubjectFacts, SubjectKind
from collectors.recording.folder import Recording
from detectors.engine import Engine
from detectors.frame import COUNTERS, GAUGES
from detectors.job.job_crash import JobCrash
from detectors.job.rhythm import Rhythms
from detectors.loss import LossDetector
from detectors.model import Finding, FindingKind
from detectors.registry import DETECTORS, EVENT_DETECTORS, LOOK_DETECTORS, SITUATION_DETECTORS

K = FindingKind
FACTS = (K.JOB_CRASH, K.GPU_OUT_OF_MEMORY, K.COLLECTIVE_TIMEOUT, K.XID, K.GPU_LOST, K.ECC_UNCORRECTABLE, K.ROW_REMAP)
"""Kinds that rest on one line's or one counter's own word: a line that says so is enough."""


def names(detectors: tuple[type, ...]) -> list[str]:
    return [detector.__name__ for detector in detectors]


@pytest.mark.parametrize("detector", DETECTORS, ids=names(DETECTORS))
def test_it_says_what_it_may_state_and_what_it_needs(detector: Any) -> None:
    assert detector.kinds
    assert all(isinstance(kind, FindingKind) for kind in detector.kinds)
    assert set(detector.needs.metrics) <= set(CATALOGUE)
    assert all(isinstance(kind, EventKind) for kind in detector.needs.events)


@pytest.mark.parametrize("detector", DETECTORS, ids=names(DETECTORS))
def test_its_docstring_says_where_it_fails_or_what_clears_it(detector: Any) -> None:
    text = (detector.__doc__ or "").lower()
    assert len(text) > 80
    assert any(word in text for word in ("fails", "clear", "passes", "looks the same"))


def test_every_kind_of_finding_has_a_detector() -> None:
    assert {kind for detector in DETECTORS for kind in detector.kinds} == set(FindingKind)


def test_the_engine_runs_every_detector_of_the_list() -> None:
    engine = Engine(Origin.TEST)
    running = [*engine.looks, *engine.joint.detectors, *engine.listeners]
    listed = (*LOOK_DETECTORS, *SITUATION_DETECTORS, *EVENT_DETECTORS)
    assert sorted(type(detector).__name__ for detector in running) == sorted(names(listed))


@pytest.mark.parametrize("place", range(len(LOOK_DETECTORS)), ids=names(LOOK_DETECTORS))
def test_a_look_detector_is_not_ready_before_it_has_seen_enough(place: int) -> None:
    fleet = Fleet(1)
    detector = fleet.engine.looks[place]
    assert not detector.ready(0, fleet.engine.habits)
    fleet.run(2)
    assert detector.ready(0, fleet.engine.habits) is (detector.needs.history_seconds == 0)
    assert detector.ready(0, fleet.run(15).engine.habits)


def test_detectors_that_need_steps_are_not_ready_before_they_have_seen_them() -> None:
    fleet = Fleet(1)
    waiting = [listener for listener in fleet.engine.listeners if listener.needs.history_steps]
    assert {type(one) for one in waiting} >= {LossDetector}
    assert [one.ready(JOB) for one in waiting] == [False] * len(waiting)
    fleet.run(40)
    assert [one.ready(JOB) for one in waiting] == [True] * len(waiting)


ODD = [np.nan, np.inf, -np.inf, -1.0, 0.0, 1e38, -1e38, 1e-40, 0.5]
BIG = [0, -1, -2, 2**62, 2**63 - 1, -(2**63), 1]


def garbage(rng: random.Random, seconds: int, engine: Engine) -> list[Finding]:
    """Readings of every metric, all values nonsense, in frames of every size, the empty one among them."""
    found = []
    for second in range(seconds):
        here = sorted(rng.sample(range(4), rng.randint(0, 4)))
        gauges = {name: [rng.choice(ODD) for _ in here] for name in rng.sample(GAUGES, rng.randint(1, len(GAUGES)))}
        counters = {name: [rng.choice(BIG) for _ in here] for name in rng.sample(COUNTERS, rng.randint(1, 5))}
        at = T0 + second * NS + rng.randint(-3, 3) * NS
        tables = [table(here, gauges, at), table(here, counters, at)] if rng.random() < 0.9 else []
        facts = SubjectFacts(gpu(0), "", None, {"index": "x", "job": "j", "slowdown_celsius": "?", "pci_bus_id": ""})
        subjects = [gpu(k) for k in range(4)]
        one = batch(*tables, subjects=subjects, facts=[facts] * (second % 7 == 0), sent_ns=T0 + second * NS)
        engine.receive(one, T0 + second * NS)
        found += engine.tick(T0 + second * NS + NS // 2)
    return found


@pytest.mark.parametrize("seed", range(6))
def test_readings_that_are_nonsense_raise_nothing_and_are_no_fault_of_a_job(seed: int) -> None:
    """Garbage may look like an error counter that rose or a bit that is set; it has no habit, so no slowness either."""
    found = garbage(random.Random(seed), 120, Engine(Origin.TEST))
    own_word = {K.ECC_UNCORRECTABLE, K.ECC_CORRECTABLE_STORM, K.ROW_REMAP, K.TELEMETRY_LOST, K.POWER_THROTTLE}
    assert {f.kind for f in found} <= own_word | {K.THERMAL_THROTTLE, K.GPU_MEMORY_PRESSURE}


@pytest.mark.parametrize(
    "value", [np.nan, np.inf, -np.inf, -1.0, -1e38], ids=["nan", "inf", "minus-inf", "minus-one", "minus-huge"]
)
def test_one_value_everywhere_is_no_opinion(value: float) -> None:
    engine, found = Engine(Origin.TEST), []
    for second in range(60):
        at = T0 + second * NS
        gauges, counters = {name: [value] for name in GAUGES}, {name: [-1] for name in COUNTERS}
        tables = table([0], gauges, at), table([0], counters, at)
        engine.receive(batch(*tables, subjects=[gpu(0)], sent_ns=at), at)
        found += engine.tick(at + NS // 2)
    assert {f.kind for f in found} <= {K.TELEMETRY_LOST}


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.tuples(
            st.sampled_from(list(EventKind)),
            st.sampled_from([JOB, NODE, gpu(0), Subject("c", SubjectKind.JOB, ""), Subject("", SubjectKind.RANK, "x")]),
            st.integers(-(2**62), 2**62),
            st.dictionaries(
                st.sampled_from(["step", "loss", "grad_norm", "code", "rank", "exit_code", "data_wait_seconds"]),
                st.floats(allow_nan=True, allow_infinity=True),
            ),
            st.dictionaries(st.sampled_from(["rank", "detail", "fatal", "operation"]), st.text(max_size=9)),
            st.sampled_from(list(EventSource)),
        ),
        max_size=30,
    )
)
def test_events_of_any_kind_about_anything_at_any_time_raise_nothing(
    events: list[tuple[EventKind, Subject, int, dict[str, float], dict[str, str], EventSource]],
) -> None:
    engine, found = Engine(Origin.TEST), []
    for number, (kind, subject, time_ns, values, attributes, source) in enumerate(events):
        one = event(kind, subject, time_ns, source, "\x1b[31m\u202e\x00", attributes, **values)
        engine.receive(batch(events=[one], subjects=[subject], sent_ns=T0 + number * NS), T0 + number * NS)
        found += engine.tick(T0 + number * NS + 1)
    found += engine.tick(T0 + 3600 * NS)
    assert {f.kind for f in found} <= {*FACTS, K.TELEMETRY_LOST, K.LOSS_NAN, K.LOSS_SPIKE, K.GRAD_NORM_SPIKE}


def test_a_job_nobody_has_heard_of_is_no_obstacle() -> None:
    detector = JobCrash(Rhythms())
    assert detector.ready(Subject("c", SubjectKind.JOB, "unknown"))
    assert list(detector.on_time(T0)) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["h200-training", "h200-ddp", "h200-ddp4"])
def test_no_detector_says_anything_on_the_healthy_beginning_of_a_recording(name: str) -> None:
    from pathlib import Path

    from agent.demo.truth import read_phases

    folder = Path(__file__).parents[2] / "recordings" / name
    phases = read_phases(folder)
    assert phases is not None
    quiet = list(itertools.takewhile(lambda phase: phase["kind"] == "benign", phases))
    end_ns = round(quiet[-1]["end"] * 1e9)
    found = [f for _, changes in replay(Recording(folder), until_ns=end_ns) for f in changes.findings]
    assert quiet
    assert [f.kind for f in found] == []
