"""Recordings that nobody has taken: the real ones with their faults in another order, on other ranks, in other words.

    python -m benchmarks.variations RECORDING_DIR OUT_DIR --seed N

Takes a recording apart at the middle of its healthy stretches, shuffles the parts (the start stays first, what ends
the job stays last), permutes the GPUs, adds or removes innocent peers, prints the log in another trainer's format and
cadence, and renames job and node. Counters go on from part to part, steps are renumbered, loss and gradient norm are
rescaled so that parts join. OUT_DIR gets telemetry.csv.gz, train.log, meta.json and truth.json. stderr and flight
recorder are left out: their times cannot be moved.
"""

import argparse
import csv
import gzip
import itertools
import json
import math
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from collectors.model import Event, EventKind, Subject, SubjectKind
from collectors.recording.log_lines import read_log_lines
from collectors.training_log import TrainingLogParser

COUNTERS = ("energy_mj", "viol_power_ns", "viol_thermal_ns", "viol_reliability_ns", "viol_board_ns")
FORMATS = ("hugging_face", "torchtitan", "megatron")
LEAST_HALF = 4.0
Row = dict[str, str]


def main() -> None:
    """Make one variation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recording", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, required=True)
    args = parser.parse_args()
    vary(args.recording, args.out, args.seed)


def vary(recording: Path, out: Path, seed: int) -> None:
    """Write the variation of a recording with this seed."""
    rng = random.Random(seed)
    truth = json.loads((recording / "truth.json").read_text())
    with gzip.open(recording / "telemetry.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    job = Subject("x", SubjectKind.JOB, "x")
    parser = TrainingLogParser(job)
    events = [e for t, line in read_log_lines(recording / "train.log", 0) for e in parser.parse(line, t)]
    parts = shuffled(truth["phases"], rng)
    phases, moved_rows, moved_events = joined(parts, rows, events)
    moved_rows, phases = peers(moved_rows, phases, rng)
    out.mkdir(parents=True, exist_ok=True)
    with gzip.open(out / "telemetry.csv.gz", "wt", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(moved_rows)
    # only the format that states the wait for data can tell a stalled loader on one GPU
    states_data = any("data_wait_seconds" in e.values for e in events)
    style = "hugging_face" if states_data else rng.choice(FORMATS[1:])
    (out / "train.log").write_text("".join(written(moved_events, style)))
    names = {"node": f"gpu-{rng.randrange(100)}", "job": f"run-{rng.randrange(1000)}"}
    (out / "meta.json").write_text(json.dumps(names))
    (out / "truth.json").write_text(json.dumps({"scenario": f"{recording.name}-{seed}", "phases": phases}, indent=1))


def shuffled(phases: list[dict[str, Any]], rng: random.Random) -> list[tuple[float, float, list[dict[str, Any]]]]:
    """The parts in their new order: start and end in the recording's own time, and the phases in it."""
    cuts = [phases[0]["start"]]
    for phase in phases:
        if phase["label"] == "healthy" and phase["end"] - phase["start"] >= 2 * LEAST_HALF:
            cuts.append((phase["start"] + phase["end"]) / 2)
    cuts.append(phases[-1]["end"])
    parts = []
    for start, end in itertools.pairwise(cuts):
        inside = [
            {**p, "start": max(p["start"], start), "end": min(p["end"], end)}
            for p in phases
            if p["start"] < end and p["end"] > start
        ]
        parts.append((start, end, inside))
    middle = parts[1:-1]
    # no fault before the GPUs have shown ten seconds of habit: the first part after the start is a quiet one
    rng.shuffle(middle)
    return [parts[0], *middle, parts[-1]]


def joined(
    parts: list[tuple[float, float, list[dict[str, Any]]]], rows: list[Row], events: list[Event]
) -> tuple[list[dict[str, Any]], list[Row], list[Event]]:
    """Phases, rows and events on one new line of time, counters and steps going on."""
    now = parts[0][0]
    phases: list[dict[str, Any]] = []
    out_rows: list[Row] = []
    out_events: list[Event] = []
    ends: dict[tuple[str, str], int] = {}
    next_step, level = 1.0, {"loss": math.nan, "grad_norm": math.nan}
    for number, (start, end, inside) in enumerate(parts):
        shift = now - start
        phases += [{**p, "start": p["start"] + shift, "end": p["end"] + shift} for p in inside]
        first: dict[tuple[str, str], int] = {}
        for row in rows:
            time = float(row["ts"])
            if start <= time < end:
                new = {**row, "ts": f"{time + shift:.3f}"}
                for name in COUNTERS:
                    key, raw = (row["gpu"], name), int(float(row[name] or 0))
                    begun = first.setdefault(key, raw)
                    new[name] = str(ends.get(key, begun) + raw - begun)
                out_rows.append(new)
        for row in out_rows[-50:]:
            for name in COUNTERS:
                ends[row["gpu"], name] = int(float(row[name]))
        mine = [e for e in events if start <= e.time_ns / 1e9 < end]
        steps = [e for e in mine if e.kind is EventKind.TRAINING_STEP]
        scale = {k: _scale(steps, k, level[k]) if number else 1.0 for k in level}
        offset = next_step - steps[0].values["step"] if steps and number else 0.0
        for event in mine:
            values = dict(event.values)
            if event.kind is EventKind.TRAINING_STEP:
                values["step"] += offset
                for k, factor in scale.items():
                    values[k] = values.get(k, math.nan) * factor
            time_ns = event.time_ns + round(shift * 1e9)
            out_events.append(Event(event.kind, event.subject, time_ns, event.source, values, event.attributes))
        if steps:
            next_step = max(e.values["step"] for e in out_events if e.kind is EventKind.TRAINING_STEP) + 2
            tail = [e for e in out_events if e.kind is EventKind.TRAINING_STEP][-12:]
            level = {k: _median([e.values[k] for e in tail]) for k in level}
        now += end - start
    return phases, out_rows, out_events


def peers(rows: list[Row], phases: list[dict[str, Any]], rng: random.Random) -> tuple[list[Row], list[dict[str, Any]]]:
    """One to eight GPUs where the recording has several: innocent ones doubled or left out, all renumbered."""
    gpus = sorted({row["gpu"] for row in rows})
    guilty = {str(p["guilty"]["gpu"]) for p in phases if p.get("guilty")}
    if len(gpus) == 1:
        return rows, phases
    innocent = [g for g in gpus if g not in guilty]
    sources = sorted(guilty) + rng.choices(innocent, k=rng.randint(1, 8 - len(guilty)))
    rng.shuffle(sources)
    place = {source: sources.index(source) for source in guilty}
    by_gpu = {g: [row for row in rows if row["gpu"] == g] for g in gpus}
    out: list[Row] = []
    for index, source in enumerate(sources):
        late = rng.uniform(0, 0.15)
        warm, draw = rng.randint(-4, 4), rng.uniform(0.99, 1.01)
        for row in by_gpu[source]:
            new = {**row, "gpu": str(index), "ts": f"{float(row['ts']) + late:.3f}"}
            new["temp_c"] = str(int(row["temp_c"]) + warm)
            new["power_mw"] = str(int(int(row["power_mw"]) * draw))
            out.append(new)
    out.sort(key=lambda row: float(row["ts"]))
    renamed = []
    for phase in phases:
        if phase.get("guilty"):
            rank = place[str(phase["guilty"]["gpu"])]
            phase = {**phase, "guilty": {"gpu": rank, "rank": rank}}
        renamed.append(phase)
    return out, renamed


def written(events: list[Event], style: str) -> list[str]:
    """The log's lines, each with the time stamp that a container runtime writes."""
    words = {
        EventKind.TRAINING_START: "***** Running training *****",
        EventKind.CHECKPOINT_START: "Saving model checkpoint to /ckpt/checkpoint-1",
        EventKind.CHECKPOINT_END: "Checkpoint saved in 3.23s",
        EventKind.CHECKPOINT_RESTORE: "Loading checkpoint from /ckpt (resuming training)",
        EventKind.EVALUATION_START: "***** Running Evaluation *****",
    }
    lines = []
    for event in events:
        text = _step(event, style) if event.kind is EventKind.TRAINING_STEP else words.get(event.kind)
        if text is not None:
            stamp = datetime.fromtimestamp(event.time_ns / 1e9, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            lines.append(f"{stamp} {text}\n")
    return lines


def _step(event: Event, style: str) -> str:
    v = event.values
    step, loss, grad = int(v["step"]), v.get("loss", math.nan), v.get("grad_norm", math.nan)
    if style == "hugging_face":
        shown: dict[str, float] = {"loss": round(loss, 4), "grad_norm": round(grad, 6), "step": step}
        for ours, theirs in (("data_wait_seconds", "data_time"), ("step_time_seconds", "step_time")):
            if ours in v:
                shown[theirs] = round(v[ours], 4)
        return str(shown)
    if style == "torchtitan":
        return (
            f"[rank0]:step: {step:2}  loss: {loss:7.4f}  grad_norm: {grad:7.4f}  memory:  3.84GiB(2.75%)  tps: 380,000"
        )
    ms = 1000 * v.get("step_time_seconds", 0.085)
    return (
        f" iteration {step:8}/ 1000000 | consumed samples: {64 * step:12} | elapsed time per iteration (ms): {ms:.1f} |"
        f" learning rate: 3.000000E-04 | global batch size:    64 | lm loss: {loss:.6E} | loss scale: 1.0 |"
        f" grad norm: {grad:.3f} | number of skipped iterations:   0 | number of nan iterations:   0 |"
    )


def _median(values: list[float]) -> float:
    known = sorted(v for v in values if math.isfinite(v))
    return known[len(known) // 2] if known else math.nan


def _scale(steps: list[Event], key: str, level: float) -> float:
    own = _median([e.values.get(key, math.nan) for e in steps[:12]])
    factor = level / own if own else math.nan
    return factor if math.isfinite(factor) and factor > 0 else 1.0


if __name__ == "__main__":
    main()
