"""How well the learnt detector does: false opinions on a healthy fleet, faults found, ASD and NAB scores, cost.

    python -m benchmarks.unusual_quality fleet [--gpus 1000] [--hours 24]
    python -m benchmarks.unusual_quality cost [--gpus 100000]
    python -m benchmarks.unusual_quality asd FOLDER RESULTS      npz files with train, test; writes <node>.csv
    python -m benchmarks.unusual_quality nab FOLDER RESULTS      csv files with timestamp, value; writes the same tree

The fleet is simulated: jobs of 1 to 64 GPUs come and go, each with its own load, save pauses by rank 0 and evaluations;
cards differ, rooms warm up by day, noise is autocorrelated with heavy tails. It can show that the detector is too
noisy, not that it is quiet enough in production. Results of asd and nab are for the scorers named in docs/unusual.md.
"""

import argparse
import csv
import time
from collections import Counter
from pathlib import Path

import numpy as np

from collectors.model import Subject, SubjectFacts, SubjectKind
from detectors.contract import Opening
from detectors.model import Inventory
from detectors.unusual import Setting, UnusualDetector, fit_unusual

SECOND = 1_000_000_000
METRICS = (
    "gpu_utilization_ratio",
    "gpu_power_watts",
    "gpu_sm_clock_hertz",
    "gpu_memory_used_bytes",
    "gpu_temperature_celsius",
    "gpu_memory_temperature_celsius",
    "gpu_sm_active_ratio",
    "gpu_tensor_active_ratio",
)
TICK_SECONDS = 5


class Fleet:
    """Simulated GPUs in jobs, 8 GPUs a node, a look every 5 s."""

    def __init__(self, gpus: int, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.gpus = gpus
        self.subjects = tuple(Subject("sim", SubjectKind.GPU, f"GPU-{n}") for n in range(gpus))
        self.inventory = Inventory()
        self.card = self.random.normal(0, 1, (len(METRICS), gpus))
        self.noise = np.zeros((len(METRICS), gpus))
        self.job = np.full(gpus, -1)
        self.ends = np.zeros(gpus)
        self.rank = np.zeros(gpus, int)
        self.load = np.zeros((gpus, 4))
        self.jobs = 0

    def _start_jobs(self, at: float) -> None:
        over = np.flatnonzero(self.ends <= at)
        if not len(over):
            return
        self.job[over] = -1
        free = list(over)
        while free:
            size = min(
                int(self.random.choice([1, 2, 4, 8, 16, 32, 64], p=[0.2, 0.1, 0.1, 0.3, 0.15, 0.1, 0.05])), len(free)
            )
            members, free = free[:size], free[size:]
            idle = self.random.random() < 0.15
            self.jobs += 1
            self.job[members] = self.jobs
            self.rank[members] = np.arange(size)
            # share of power, share of memory, seconds between saves, seconds a save takes
            kind = (0.0, 0.0, 1e9, 0.0) if idle else (
                self.random.uniform(0.35, 1.0), self.random.uniform(0.2, 0.9),
                self.random.uniform(600, 3600), self.random.uniform(3, 40),
            )  # fmt: skip
            self.load[members] = kind
            self.ends[members] = at + self.random.exponential(4 * 3600) + 300
            for member in members:
                facts = SubjectFacts(self.subjects[member], f"gpu-{member}", None, {"job": f"job-{self.jobs}"})
                self.inventory.facts[self.subjects[member]] = facts
        self.inventory.generation += 1

    def look(self, at: float) -> np.ndarray:
        """Readings at a time in seconds, float32 (metrics, gpus)."""
        self._start_jobs(at)
        rng = self.random
        self.noise *= 0.9
        self.noise += rng.standard_t(4, self.noise.shape) * 0.3
        share, memory, gap, pause = self.load.T
        busy = share > 0
        phase = np.mod(at + self.job * 977.0, gap)
        saving = busy & (phase < pause)
        rank0 = self.rank == 0
        evaluating = busy & (np.mod(at + self.job * 331.0, 5400) < 90)
        util = np.where(busy, 0.98, 0.0)
        util = np.where(saving & rank0, 0.02, util)
        power = np.where(busy, 120 + 570 * share, 75.0)
        power = np.where(saving, np.where(rank0, 126.0, 170.0), np.where(evaluating, power * 0.85, power))
        clock = np.where(busy, 1980e6 - 160e6 * np.clip((power - 500) / 190, 0, 1), 345e6)
        active = np.where(busy & ~saving, 0.84 * share**0.3, np.where(saving & ~rank0, 0.18, 0.0))
        tensor = active * 0.42 * share
        day = 1.5 * np.sin(2 * np.pi * at / 86400)
        heat = 30 + 0.045 * power + day
        frame = np.stack([util, power, clock, 0.6e9 + memory * 140e9, heat, heat + 8, active, tensor])
        spread = np.array([0.004, 4, 8e6, 2e7, 0.5, 0.5, 0.006, 0.004])[:, None]
        own = np.array([0.0, 6, 12e6, 5e7, 2.0, 2.0, 0.004, 0.003])[:, None]
        frame += spread * self.noise + own * self.card
        frame[rng.random(frame.shape) < 0.002] = np.nan
        return frame.astype(np.float32)


FAULTS = {
    "power -30 %, clock -15 %": {1: 0.7, 2: 0.85},
    "tensor activity halved": {7: 0.5, 6: 0.8},
    "temperature +15 %": {4: 1.15, 5: 1.15},
    "clock -10 %": {2: 0.9},
    "memory +40 %": {3: 1.4},
}


def fleet(gpus: int, hours: float, seed: int) -> None:
    """Learn for two hours, then watch: false opinions without faults, then each fault on 40 GPUs."""
    simulated = Fleet(gpus, seed)
    detector = UnusualDetector(METRICS, seed)
    first = 2 * 3600
    ticks = int((first + hours * 3600) // TICK_SECONDS)
    opened: list[tuple[int, Opening]] = []
    spent = 0.0
    for tick in range(ticks):
        at = tick * TICK_SECONDS
        values = simulated.look(at)
        began = time.process_time()
        said = detector.look(values, METRICS, simulated.subjects, at * SECOND, at * SECOND, simulated.inventory)
        spent += time.process_time() - began
        opened += [(at, opinion) for opinion in said if isinstance(opinion, Opening)]
        if at and at % first == 0:
            _learn(detector, seed)
    days = gpus / 8 * hours / 24
    print(
        f"{gpus} GPUs, {hours:g} h after {first / 3600:g} h of learning: {len(opened)} false opinions in {days:.1f} ",
        end="",
    )
    print(f"node-days = {len(opened) / days * 100:.2f} per 100 node-days; {spent / ticks * 1e3:.1f} ms a look")
    drivers = Counter(opinion.evidence[0].metric for _, opinion in opened if opinion.evidence)
    print(f"  driven by {dict(drivers)}")
    at = ticks * TICK_SECONDS
    for name, fault in FAULTS.items():
        for grouped in (True, False):
            at = _inject(simulated, detector, name, fault, grouped, at)


def _learn(detector: UnusualDetector, seed: int) -> None:
    for setting in Setting:
        rows = detector.sample(setting)
        if rows is not None:
            detector.adopt(setting, fit_unusual(rows, METRICS, seed))


def _inject(
    simulated: Fleet, detector: UnusualDetector, name: str, fault: dict[int, float], grouped: bool, at: int
) -> int:
    simulated.look(at)
    sizes = Counter(simulated.job.tolist())
    can = [
        n for n in range(simulated.gpus)
        if simulated.load[n, 0] > 0 and (sizes[int(simulated.job[n])] >= 8) == grouped and simulated.ends[n] > at + 3000
        and (grouped or sizes[int(simulated.job[n])] < 4)
    ]  # fmt: skip
    # one GPU a job: a fault of half the job's GPUs moves the median
    chosen = list({int(simulated.job[n]): n for n in can}.values())[:40]
    hits: dict[int, float] = {}
    for step in range(120):
        values = simulated.look(at)
        for metric, factor in fault.items():
            values[metric, chosen] *= factor
        for opinion in detector.look(
            values, METRICS, simulated.subjects, at * SECOND, at * SECOND, simulated.inventory
        ):
            if isinstance(opinion, Opening):
                number = simulated.subjects.index(opinion.subject)
                if number in chosen:
                    hits.setdefault(number, step * TICK_SECONDS)
        at += TICK_SECONDS
    late = sorted(hits.values())
    middle = f"{late[len(late) // 2]:.0f} s" if late else "-"
    where = "in jobs of 8 and more" if grouped else "in jobs of 1 to 3"
    print(f"| {name} | {where} | {len(hits)} of {len(chosen)} | {middle} |")
    for _ in range(800):  # past the refractory period
        detector.look(simulated.look(at), METRICS, simulated.subjects, at * SECOND, at * SECOND, simulated.inventory)
        at += TICK_SECONDS
    return at


def cost(gpus: int, metrics: int) -> None:
    """Seconds a look, on one core, with two thirds of the GPUs in jobs of 64."""
    rng = np.random.default_rng(0)
    names = tuple(f"m{n}" for n in range(metrics))
    subjects = tuple(Subject("sim", SubjectKind.GPU, str(n)) for n in range(gpus))
    inventory = Inventory()
    for number, subject in enumerate(subjects):
        job = {"job": f"job-{number // 64}"} if number % 3 else {}
        inventory.facts[subject] = SubjectFacts(subject, subject.id, None, job)
    detector = UnusualDetector(names)
    base = rng.normal(100, 5, (metrics, gpus)).astype(np.float32)
    for tick in range(8):
        values = base + rng.normal(0, 1, base.shape).astype(np.float32)
        values[rng.random(base.shape) < 0.01] = np.nan
        if tick == 2:
            for setting in Setting:
                rows = (base if setting is Setting.ALONE else base - base.mean(axis=1, keepdims=True))[:, :20_000]
                began = time.perf_counter()
                detector.adopt(setting, fit_unusual(rows.T, names, 0))
                print(f"fit {setting}: {time.perf_counter() - began:.2f} s for {rows.shape[1]} rows, import included")
        began, cpu = time.perf_counter(), time.process_time()
        detector.look(values, names, subjects, tick * SECOND, tick * SECOND, inventory)
        print(f"look {tick}: {time.perf_counter() - began:.3f} s, {time.process_time() - cpu:.3f} s of CPU", end="")
        print(f" for {gpus} subjects x {metrics} metrics{'' if tick < 2 else ' with models'}")


def _series_scores(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """One subject's score over its test part: the smoothed distance, or half of its own deviation, whichever is larger;
    both in units of what 1 in 1,000 training looks exceed."""
    names = tuple(f"m{n}" for n in range(train.shape[1]))
    detector, inventory = UnusualDetector(names, seed), Inventory()
    detector.adopt(Setting.ALONE, fit_unusual(train, names, seed))
    subjects = (Subject("series", SubjectKind.NODE, "one"),)
    smoothed, own = np.zeros(len(train) + len(test)), np.zeros(len(train) + len(test))
    for number, row in enumerate(np.concatenate([train, test])):
        scores = detector.scores(row[:, None].astype(np.float32), subjects, inventory)
        smoothed[number], own[number] = np.nan_to_num(scores.smoothed[0]), np.nan_to_num(scores.own[0])
    seen = len(train)
    levels = [max(float(np.quantile(part[:seen], 0.999)), 1e-9) for part in (smoothed, own)]
    return np.maximum(smoothed / levels[0], 0.5 * own / levels[1])[seen:]


def asd(folder: Path, results: Path, seed: int) -> None:
    """Scores of every node's test part."""
    results.mkdir(parents=True, exist_ok=True)
    for path in sorted(folder.glob("*.npz")):
        node = np.load(path)
        scores = _series_scores(node["train"], node["test"], seed)
        np.savetxt(results / f"{path.stem}.csv", scores, header="anomaly_score", comments="", fmt="%.6g")


def nab(folder: Path, results: Path, seed: int, refractory: int = 150) -> None:
    """Scores of every file: learnt on its first 15 %, told again only where higher than in the rows before."""
    for path in sorted(folder.rglob("*.csv")):
        with path.open(newline="") as file:
            rows = [(row["timestamp"], float(row["value"])) for row in csv.DictReader(file)]
        values = np.array([value for _, value in rows])[:, None]
        first = max(40, min(int(0.15 * len(rows)), 750))
        # a single series has no other metrics: its change over one row stands beside it
        both = np.concatenate([values, np.diff(values, axis=0, prepend=values[:1])], axis=1)
        scores = np.concatenate([np.zeros(first), _series_scores(both[:first], both[first:], seed)])
        kept = np.array(
            [s if s > scores[max(0, n - refractory) : n].max(initial=0) else 0.0 for n, s in enumerate(scores)]
        )
        out = results / path.relative_to(folder).parent / path.name
        out.parent.mkdir(parents=True, exist_ok=True)
        with out.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["timestamp", "value", "anomaly_score"])
            writer.writerows((stamp, value, f"{score:.6g}") for (stamp, value), score in zip(rows, kept, strict=True))


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["fleet", "cost", "asd", "nab"])
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--gpus", type=int)
    parser.add_argument("--metrics", type=int, default=20)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    if given.what == "fleet":
        fleet(given.gpus or 1000, given.hours, given.seed)
    elif given.what == "cost":
        cost(given.gpus or 100_000, given.metrics)
    elif len(given.folders) != 2:
        parser.error(f"{given.what} takes two folders: the series, and where the scores go")
    elif given.what == "asd":
        asd(*given.folders, given.seed)
    else:
        nab(*given.folders, given.seed)


if __name__ == "__main__":
    main()
