"""Simulated cards against the recordings: each state shows what the recordings show."""

import csv
import gzip
import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from agent.simulate import parameters as p
from agent.simulate.cards import NS, Cards, place
from agent.simulate.parallel import Parallel

RECORDINGS = Path(__file__).parents[3] / "recordings"
START_NS = 1_795_392_000 * NS


@cache
def rows(recording: str) -> list[dict[str, str]]:
    with gzip.open(RECORDINGS / recording / "telemetry.csv.gz", "rt") as file:
        return list(csv.DictReader(file))


def recorded(recording: str, label: str, gpu: int) -> np.ndarray:
    """(power, utilisation, clock, temperature) of all looks in all phases of a label, edges of 1.5 s left out."""
    phases = json.loads((RECORDINGS / recording / "truth.json").read_text())["phases"]
    found = []
    for phase in phases:
        if phase["label"] == label:
            found += [
                [float(r["power_mw"]) / 1e3, float(r["util_gpu"]), float(r["sm_clock"]), float(r["temp_c"])]
                for r in rows(recording)
                if int(r["gpu"]) == gpu and phase["start"] + 2 < float(r["ts"]) < phase["end"] - 0.3
            ]
    return np.array(found)


def simulated(state: p.State, looks: int = 60) -> np.ndarray:
    """The same of 32 cards in a state, after a minute to warm up; shape (looks, 4, cards)."""
    cards = Cards(4, 8, START_NS, np.random.default_rng(5))
    every = place([(n, g) for n in range(4) for g in range(8)])
    cards.put(every, state, START_NS)
    seen = []
    for second in range(1, 61 + looks):
        look = cards.look(slice(0, 4), START_NS + second * NS)
        seen.append(np.stack([look.cheap[1], look.cheap[0] * 100, look.cheap[2] / 1e6, look.middle_gauges[0]]))
    return np.array(seen[60:]).reshape(looks, 4, 32)


CASES = [
    ("healthy", p.WORK, "h200-ddp4", "healthy", 0),
    ("healthy, another card", p.WORK, "h200-ddp", "healthy", 1),
    ("hang, guilty", p.STILL, "h200-ddp", "collective_hang", 1),
    ("hang, innocent", p.SPIN, "h200-ddp4", "collective_hang", 2),
    ("power throttle", p.DENSE, "h200-ddp", "power_throttle", 0),
    ("NaN", p.NAN, "h200-ddp4", "loss_nan", 1),
    ("save, waiting", p.SAVE_WAIT, "h200-ddp4", "checkpoint_save", 2),
    ("evaluation", p.EVALUATION, "h200-training", "evaluation", 0),
]


@pytest.mark.parametrize(("state", "recording", "label", "gpu"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_a_state_shows_what_the_recording_of_it_shows(state: p.State, recording: str, label: str, gpu: int) -> None:
    real, ours = recorded(recording, label, gpu), simulated(state)

    # a recorded card lies within the spread of ours: power 5 %, utilisation 2 points, clock 80 MHz
    means = ours.mean(axis=(0, 2))
    assert abs(real[:, 0].mean() / means[0] - 1) < 0.05
    assert abs(real[:, 1].mean() - means[1]) < 2
    assert abs(real[:, 2].mean() - means[2]) < 80
    noise = ours.std(axis=0).mean(axis=1)
    assert noise[0] < 3 * max(real[:, 0].std(), 0.5)
    assert 0.5 * real[:, 2].std() - 5 <= noise[2] <= 2 * real[:, 2].std() + 5


def test_core_temperatures_lie_where_the_recordings_lie() -> None:
    warm = simulated(p.WORK)[:, 3].mean()

    real = [recorded("h200-ddp4", "healthy", gpu)[:, 3].mean() for gpu in range(4)]
    assert min(real) - 3 < warm < max(real) + 3


def test_the_power_gauge_is_the_mean_of_the_last_second() -> None:
    cards = Cards(1, 1, START_NS, np.random.default_rng(1))
    one = place([(0, 0)])
    cards.own_busy[:] = cards.own_idle[:] = 0
    cards.put(one, p.WORK, START_NS)
    cards.look(slice(0, 1), START_NS + NS)
    cards.put(one, p.STILL, START_NS + NS + NS // 4)
    shows = cards.look(slice(0, 1), START_NS + 2 * NS).cheap[1, 0, 0]

    assert shows == pytest.approx(0.25 * p.WORK.watts + 0.75 * p.STILL.watts, abs=3)


def test_the_energy_counter_is_the_integral_of_the_power_and_never_falls() -> None:
    cards = Cards(2, 8, START_NS, np.random.default_rng(2))
    every = place([(n, g) for n in range(2) for g in range(8)])
    cards.put(every, p.WORK, START_NS)
    energies, powers = [], []
    for second in range(1, 120):
        if second % 10 == 0:
            cards.burst(every, p.STILL, 690, 3.2, 0.3, START_NS + second * NS - NS // 2)
        if second % 10 == 5:
            cards.put(every, p.WORK, START_NS + second * NS - NS // 3)
        look = cards.look(slice(0, 2), START_NS + second * NS)
        energies.append(look.dear_counters[0])
        powers.append(look.cheap[1])
    rise = np.diff(np.array(energies), axis=0)

    assert (rise > 0).all()
    assert rise.sum(axis=0) / 1e3 == pytest.approx(np.array(powers)[1:].sum(axis=0), rel=0.01)


@pytest.mark.parametrize("guilty", [0, 13, 63])
def test_a_tensor_group_waits_first_and_other_replicas_at_the_end_of_the_step(guilty: int) -> None:
    layout = Parallel(64, tensor=8, pipeline=2)
    after = layout.waits_after(np.array([guilty]), step_seconds=4.0, into_step=0.25)

    assert after[guilty] == 0
    group = [r for r in layout.tensor_group(guilty) if r != guilty]
    assert (after[group] == 0).all()
    _, data, pipe = layout.coordinates(guilty)
    others = [layout.coordinates(r) for r in range(64)]
    strangers = [r for r, (_, d, _) in enumerate(others) if d != data]
    assert after[strangers] == pytest.approx(3.0)
    mates = [r for r, (_, d, s) in enumerate(others) if d == data and s != pipe]
    assert after[mates] == pytest.approx(0.4)
