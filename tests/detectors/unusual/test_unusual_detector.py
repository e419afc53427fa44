"""What the learnt detector says of a small fleet, and what it does not."""

from copy import deepcopy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from collectors.model import Subject, SubjectFacts, SubjectKind
from detectors.contract import Clearing, Opening, Opinion
from detectors.model import FindingKind, Inventory, Severity
from detectors.unusual import Setting, UnusualDetector, fit_unusual
from detectors.unusual.detector import BAD, REFRACTORY_NS

pytestmark = pytest.mark.slow

METRICS = ("gpu_power_watts", "gpu_sm_clock_hertz", "gpu_temperature_celsius")
SECOND = 1_000_000_000
TICK = 5 * SECOND


class SmallFleet:
    """Four jobs of eight GPUs under different loads, and eight GPUs without a job; a look every 5 s."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(5)
        self.subjects = tuple(Subject("c", SubjectKind.GPU, f"GPU-{n}") for n in range(40))
        self.inventory = Inventory()
        for number, subject in enumerate(self.subjects):
            job = {"job": f"job-{number // 8}"} if number < 32 else {}
            self.inventory.facts[subject] = SubjectFacts(subject, f"gpu-{number}", None, job)
        self.load = np.repeat([1.0, 0.8, 0.6, 0.9, 0.5], 8)
        self.detector = UnusualDetector(METRICS)
        self.time_ns = 0
        self.said: list[Opinion] = []
        self.change: dict[int, tuple[float, float, float]] = {}

    def values(self) -> np.ndarray:
        power = 700 * self.load + self.rng.normal(0, 4, 40)
        clock = 1.98e9 - 2e8 * self.load + self.rng.normal(0, 5e6, 40)
        heat = 30 + 0.05 * power + self.rng.normal(0, 0.5, 40)
        values = np.stack([power, clock, heat]).astype(np.float32)
        for number, factors in self.change.items():
            values[:, number] *= factors
        return values

    def look(self, times: int = 1) -> list[Opinion]:
        said: list[Opinion] = []
        for _ in range(times):
            self.time_ns += TICK
            said += self.detector.look(
                self.values(), METRICS, self.subjects, self.time_ns, self.time_ns, self.inventory
            )
        self.said += said
        return said

    def learn(self) -> None:
        for setting in Setting:
            rows = self.detector.sample(setting)
            assert rows is not None
            self.detector.adopt(setting, fit_unusual(rows, METRICS, 1))


@pytest.fixture(scope="module")
def learnt() -> SmallFleet:
    """A fleet that has been learnt."""
    fleet = SmallFleet()
    fleet.look(400)
    fleet.learn()
    return fleet


@pytest.fixture
def fleet(learnt: SmallFleet) -> SmallFleet:
    """One of its own for each test: learning takes seconds."""
    return deepcopy(learnt)


def test_it_is_not_ready_and_silent_before_it_has_a_model() -> None:
    fleet = SmallFleet()
    assert not fleet.detector.ready(Setting.ALONE)
    fleet.look(20)
    assert fleet.detector.sample(Setting.ALONE) is None
    fleet.change = {3: (0.3, 0.3, 3.0)}
    assert fleet.look(60) == []


def test_a_healthy_fleet_says_nothing(fleet: SmallFleet) -> None:
    assert fleet.look(600) == []


def test_a_gpu_unlike_its_peers_is_told_with_the_metric_that_drives_it(fleet: SmallFleet) -> None:
    fleet.change = {3: (1.0, 0.85, 1.0)}
    first = fleet.time_ns + TICK
    fleet.look(40)
    [opening] = fleet.said
    assert isinstance(opening, Opening)
    assert (opening.kind, opening.subject, opening.severity) == (
        FindingKind.UNUSUAL,
        fleet.subjects[3],
        Severity.INFO,
    )
    assert first <= opening.since_ns <= first + BAD * TICK
    assert opening.evidence[0].metric == "gpu_sm_clock_hertz"
    assert opening.evidence[0].expected == pytest.approx(1.78e9, rel=0.02)
    assert opening.summary.startswith("gpu-3 reads unlike the median of its job's GPUs")


def test_a_gpu_without_peers_is_held_against_the_fleet(fleet: SmallFleet) -> None:
    fleet.change = {35: (1.0, 0.5, 2.0)}
    fleet.look(40)
    assert [opinion.subject for opinion in fleet.said] == [fleet.subjects[35]]


def test_a_job_that_changes_as_a_whole_is_not_told(fleet: SmallFleet) -> None:
    fleet.load[:8] = 0.1
    assert fleet.look(200) == []


def test_a_short_pause_of_one_rank_is_not_told(fleet: SmallFleet) -> None:
    for _ in range(10):
        fleet.change = {0: (0.2, 1.1, 0.8)}
        fleet.look(5)
        fleet.change = {}
        fleet.look(40)
    assert fleet.said == []


def test_it_clears_and_then_keeps_quiet_for_an_hour(fleet: SmallFleet) -> None:
    for _ in range(3):
        fleet.change = {3: (1.0, 0.85, 1.0)}
        fleet.look(40)
        fleet.change = {}
        fleet.look(60)
    assert [type(opinion) for opinion in fleet.said] == [Opening, Clearing]
    fleet.look(REFRACTORY_NS // TICK)
    fleet.change = {3: (1.0, 0.85, 1.0)}
    fleet.look(40)
    assert [type(opinion) for opinion in fleet.said] == [Opening, Clearing, Opening]


def test_subjects_may_come_go_and_change_places(fleet: SmallFleet) -> None:
    fleet.change = {3: (1.0, 0.85, 1.0)}
    order = np.arange(40)
    for number in range(60):
        fleet.time_ns += TICK
        order = np.roll(order, 1)
        shown = order[: 40 - number % 2]
        subjects = tuple(fleet.subjects[n] for n in shown)
        values = np.ascontiguousarray(fleet.values()[:, shown])
        fleet.said += fleet.detector.look(values, METRICS, subjects, fleet.time_ns, fleet.time_ns, fleet.inventory)
    assert [opinion.subject for opinion in fleet.said] == [fleet.subjects[3]]


def test_shapes_that_do_not_agree_are_refused(fleet: SmallFleet) -> None:
    with pytest.raises(ValueError, match="shape"):
        fleet.detector.look(np.zeros((2, 40), np.float32), METRICS, fleet.subjects, 0, 0, fleet.inventory)
    with pytest.raises(ValueError, match="other metrics"):
        fleet.detector.adopt(Setting.ALONE, fit_unusual(np.random.default_rng(0).random((80, 1)), ("x",), 0))


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(st.lists(arrays(np.float32, (3, 8), elements=st.floats(width=32)), min_size=1, max_size=40), st.booleans())
def test_garbage_raises_nothing_and_every_opening_clears_at_most_once(looks: list[np.ndarray], grouped: bool) -> None:
    rng = np.random.default_rng(0)
    detector, inventory = UnusualDetector(METRICS), Inventory()
    subjects = tuple(Subject("c", SubjectKind.GPU, str(n)) for n in range(8))
    if grouped:
        for subject in subjects:
            inventory.facts[subject] = SubjectFacts(subject, "", None, {"job": "j"})
    for setting in Setting:
        detector.adopt(setting, fit_unusual(rng.normal(0, 1, (200, 3)).astype(np.float32), METRICS, 0))
    calm = [rng.normal(0, 1, (3, 8)).astype(np.float32) for _ in range(130)]
    is_open: set[Subject] = set()
    for number, values in enumerate([*calm, *looks, *calm]):
        for opinion in detector.look(values, METRICS, subjects, number * TICK, number * TICK, inventory):
            if isinstance(opinion, Opening):
                assert opinion.subject not in is_open
                is_open.add(opinion.subject)
            else:
                is_open.remove(opinion.subject)
