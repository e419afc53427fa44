"""False alarms of the loss detectors on healthy public logs, and how many injected faults they find.

    python -m benchmarks.loss_false_alarms LOG [LOG ...] [--from-step 0] [--trials 80]

Each LOG is the output of one healthy run, with lines such as `step:300/6200 train_loss:4.1`, `s:300 trl:4.1 norm:0.3`,
or any with `step`, `loss` and perhaps `grad_norm`. Every opening on it is false. Then faults are laid over stretches of
the same logs: a level shift of +0.3, +0.5 and +1.0 for 3, 10 and 30 lines, the loss tripled for good, and NaN.
"""

import argparse
import math
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from collectors.model import Event, EventKind, EventSource, Subject, SubjectKind
from detectors.contract import Opening
from detectors.loss import LossDetector
from detectors.model import FindingKind, Inventory

JOB = Subject("bench", SubjectKind.JOB, "healthy")
SECOND = 1_000_000_000
STEP = re.compile(r"\b(?:s|step)[:= ]+(\d+)")
FIGURES = {
    "loss": re.compile(r"\b(?:trl|train_loss|loss)[:= ]+([-+.\deE]+|nan|inf)"),
    "grad_norm": re.compile(r"\b(?:norm|grad_norm)[:= ]+([-+.\deE]+|nan|inf)"),
}
Figures = tuple[int, dict[str, float]]


def read(path: Path) -> list[Figures]:
    """Step number and figures of every training line."""
    found: list[Figures] = []
    for line in path.read_text(errors="replace").splitlines():
        step = STEP.search(line)
        if not step:
            continue
        values = {name: float(m[1]) for name, pattern in FIGURES.items() if (m := pattern.search(line))}
        if "loss" in values:
            found.append((int(step[1]), values))
    return found


def openings(lines: Iterable[Figures]) -> list[tuple[int, Opening]]:
    """What opens, with the step at which it does; lines are one second apart."""
    detector, inventory = LossDetector(), Inventory()
    found = []
    for number, (step, values) in enumerate(lines):
        at = number * SECOND
        event = Event(EventKind.TRAINING_STEP, JOB, at, EventSource.TRAINING_LOG, {"step": float(step), **values})
        said = detector.on_event(event, inventory, at)
        found += [(step, opinion) for opinion in said if isinstance(opinion, Opening)]
    return found


def shift(nats: float, lines: int) -> Callable[[int, float], float]:
    """A loss raised by `nats` for a number of lines."""
    return lambda number, loss: loss + nats if number < lines else loss


FAULTS: dict[str, tuple[Callable[[int, float], float], set[FindingKind]]] = {
    **{
        f"+{nats} for {lines} lines": (shift(nats, lines), {FindingKind.LOSS_SPIKE, FindingKind.LOSS_DIVERGENCE})
        for nats in (0.3, 0.5, 1.0)
        for lines in (3, 10, 30)
    },
    "x3 for good": (lambda number, loss: loss * 3, {FindingKind.LOSS_DIVERGENCE}),
    "NaN for good": (lambda number, loss: math.nan, {FindingKind.LOSS_NAN}),
}


def false_alarms(logs: dict[str, list[Figures]], first: int) -> None:
    """Print a line per log and way of logging."""
    print("| log | logged every | lines | loss_nan | loss_divergence | loss_spike | grad_norm_spike | us a line |")
    print("|---|---|---|---|---|---|---|---|")
    for name, lines in logs.items():
        for every in (1, 10, 40):
            kept = [line for line in lines[::every] if line[0] >= first]
            began = time.process_time()
            found = openings(kept)
            cost = (time.process_time() - began) / max(len(kept), 1) * 1e6
            counts = Counter(opening.kind for _, opening in found)
            cells = " | ".join(str(counts[kind]) for kind in LossDetector.kinds)
            print(f"| {name} | {every} | {len(kept)} | {cells} | {cost:.1f} |")
            for step, opening in found:
                print(f"  false at step {step}: {opening.summary}")


def sensitivity(logs: dict[str, list[Figures]], trials: int, seed: int) -> None:
    """Print a line per fault: the share of trials in which it is found, and the lines that it took."""
    print("| fault | found | lines until known, median | worst |")
    print("|---|---|---|---|")
    for fault, (change, wanted) in FAULTS.items():
        rng = random.Random(seed)
        delays = []
        total = 0
        for lines in logs.values():
            for _ in range(trials):
                at = rng.randrange(700, len(lines) - 100)
                piece = [(step, dict(values)) for step, values in lines[at - 400 : at + 60]]
                for number, (_, values) in enumerate(piece[400:]):
                    values["loss"] = change(number, values["loss"])
                total += 1
                hits = [step for step, opening in openings(piece) if opening.kind in wanted and step >= piece[400][0]]
                if hits:
                    delays.append(1 + next(n for n, (step, _) in enumerate(piece[400:]) if step == hits[0]))
        delays.sort()
        middle, worst = (delays[len(delays) // 2], delays[-1]) if delays else ("-", "-")
        print(f"| {fault} | {len(delays) / total:.0%} of {total} | {middle} | {worst} |")


def main() -> None:
    """Read the arguments and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("logs", nargs="+", type=Path)
    parser.add_argument("--from-step", type=int, default=0)
    parser.add_argument("--trials", type=int, default=80)
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    logs = {path.name: read(path) for path in given.logs}
    false_alarms(logs, given.from_step)
    print()
    sensitivity(logs, given.trials, given.seed)


if __name__ == "__main__":
    main()
