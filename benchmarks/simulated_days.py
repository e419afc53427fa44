"""Incidents against true causes on simulated clusters: many runs side by side, one table.

    python -m benchmarks.simulated_days --day-seeds 1,2,3,4 --quiet-hours 24 --processes 16 --json days.json
    python -m benchmarks.simulated_days --day-seeds 1,2,3 --nodes 40 --hours 0.5        smaller, to try a change
    python -m benchmarks.simulated_days --scenario wave --scenario mine.yaml --seeds 5,6

Each run is simulated (docs/simulator.md), replayed through the whole watch and scored (docs/scoring.md) in a process
and a temporary folder of its own, which is removed afterwards. `--quiet-hours` is the sum over runs of
`--quiet-run-hours` each, with seeds of their own, on 200 nodes; start-up counts as watched. A `day` of 200 nodes and
two hours needs about six minutes of one core and 450 MB of disk.

Target: incidents equal to causes, root and guilty right in 95 %, nothing false. Under the table stands every cause that
was missed, merged, split or named wrong, and every false incident. The JSON is written anew after every run.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import msgspec

from agent.scoring.bound import most_events, percentile
from agent.scoring.replayed import scored
from agent.scoring.score import Score
from agent.scoring.truth import read_truth
from agent.simulate.built_in import BUILT_IN, DEFAULTS
from agent.simulate.scenario import checked, read_scenario
from agent.simulate.simulation import simulate

QUIET_SEED = 1001
"""The first quiet run's: quiet clusters are other ones than those of the days."""
COLUMNS = (
    ("causes", "causes"),
    ("incidents", "incidents"),
    ("found", "found"),
    ("missed", "missed"),
    ("merged", "merged"),
    ("split", "split"),
    ("false", "false"),
    ("root_right", "root right"),
    ("guilty", "guilty right"),
    ("delay_p50_s", "p50 s"),
    ("delay_p99_s", "p99 s"),
    ("node_days", "node-days"),
    ("cpu_s", "CPU s"),
)


@dataclass(frozen=True, slots=True)
class Run:
    """One simulation to make and to judge."""

    scenario: str
    """A built-in name or a YAML file."""
    seed: int
    nodes: int | None = None
    hours: float | None = None

    @property
    def name(self) -> str:
        """As the table calls it."""
        return f"{Path(self.scenario).stem} seed {self.seed}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--day-seeds", type=seeds, default=(), metavar="S,S", help="a `day` for each seed")
    parser.add_argument("--quiet-hours", type=float, default=0.0, metavar="H", help="hours of `quiet`, over all runs")
    parser.add_argument("--quiet-run-hours", type=float, default=2.0, metavar="H", help="hours of one run; default 2")
    parser.add_argument("--scenario", action="append", default=[], metavar="NAME", help="a built-in or a YAML file")
    parser.add_argument("--seeds", type=seeds, default=(1,), metavar="S,S", help="seeds of each --scenario")
    parser.add_argument("--nodes", type=int, metavar="N", help="other than the scenario's own")
    parser.add_argument("--hours", type=float, metavar="H", help="other than the scenario's own (quiet: see above)")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE", help="everything, cause by cause")
    args = parser.parse_args()
    runs = [Run("day", seed, args.nodes, args.hours) for seed in args.day_seeds]
    runs += [Run(name, seed, args.nodes, args.hours) for name in args.scenario for seed in args.seeds]
    count = round(args.quiet_hours / args.quiet_run_hours)
    runs += [Run("quiet", QUIET_SEED + number, args.nodes, args.quiet_run_hours) for number in range(count)]
    if not runs:
        parser.error("nothing to run: give --day-seeds, --quiet-hours or --scenario")
    # each process is one core's work: threads of BLAS would only take cores from each other
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    results: dict[Run, dict[str, Any]] = {}
    failed = 0
    with ProcessPoolExecutor(args.processes, get_context("spawn"), max_tasks_per_child=1) as pool:
        waiting = {pool.submit(judged, run): run for run in runs}
        for done in as_completed(waiting):
            run, error = waiting[done], done.exception()
            if error is not None:
                failed += 1
                print(f"{run.name}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
                continue
            results[run] = done.result()
            print(f"{run.name}: done, {len(results)} of {len(runs)}", file=sys.stderr, flush=True)
            if args.json is not None:
                args.json.write_text(json.dumps([results[one] for one in runs if one in results], indent=1) + "\n")
    ordered = [results[run] for run in runs if run in results]
    for line in (*table(ordered), "", *wrong(ordered)):
        print(line)
    sys.exit(1 if failed else 0)


def seeds(text: str) -> tuple[int, ...]:
    """Numbers with commas between them."""
    return tuple(int(one) for one in text.split(","))


def judged(run: Run) -> dict[str, Any]:
    """Simulate, replay and score one run, in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="watchstander-days-") as name:
        folder = Path(name) / "recording"
        simulate_into(run, folder)
        truth = read_truth(folder)
        score = scored(folder, truth)
        about = json.loads((folder / "meta.json").read_text())
    start = float(about["start_unix"])
    return {
        "run": run.name,
        "scenario": run.scenario,
        "seed": run.seed,
        "start_unix": start,
        "cpu_s": round(time.process_time()),
        **score.as_json(),
        "delays_s": delays(score),
    }


def simulate_into(run: Run, folder: Path) -> None:
    """What `watchstander simulate` does with the same scenario, sizes and seed."""
    if run.scenario in BUILT_IN:
        nodes, hours = DEFAULTS[run.scenario]
        scenario = BUILT_IN[run.scenario](run.nodes or nodes, run.hours or hours)
    else:
        scenario = read_scenario(Path(run.scenario))
        said = {"nodes": run.nodes, "hours": run.hours}
        scenario = msgspec.structs.replace(scenario, **{key: value for key, value in said.items() if value})
    simulate(checked(scenario, run.scenario), run.seed, folder)


def delays(score: Score) -> list[float]:
    """Seconds from fault to incident of every found cause, so that percentiles over runs can be taken."""
    return [round(one.delay_s, 2) for one in score.found if one.delay_s is not None]


def table(results: list[dict[str, Any]]) -> Iterator[str]:
    """A Markdown row a run; runs with faults and runs without are summed apart."""
    yield f"| run | {' | '.join(title for _, title in COLUMNS)} |"
    yield f"| --- |{' --- |' * len(COLUMNS)}"
    for one in results:
        yield row(one["run"], one)
    with_faults = [one for one in results if one["causes"]]
    without = [one for one in results if not one["causes"]]
    if len(with_faults) > 1:
        yield row("**together**", summed(with_faults))
    if len(without) > 1:
        yield row("**quiet together**", summed(without))
    for what, group in (("with faults", with_faults), ("without a fault", without)):
        if group:
            yield ""
            yield bound(what, group)


def row(name: str, one: dict[str, Any]) -> str:
    """One line of the table."""
    says = {**one, "guilty": f"{one['guilty_right']} of {one['guilty_asked']}"}
    cells = ("" if says[key] is None else str(says[key]) for key, _ in COLUMNS)
    return f"| {name} | {' | '.join(cells)} |"


def summed(results: list[dict[str, Any]]) -> dict[str, Any]:
    """All runs as one; percentiles over all their causes."""
    every = [delay for one in results for delay in one["delays_s"]]
    percentiles = {"delay_p50_s": percentile(every, 0.5), "delay_p99_s": percentile(every, 0.99)}
    keys = [key for key, _ in COLUMNS if key not in percentiles and key != "guilty"]
    sums = {key: sum(one[key] for one in results) for key in (*keys, "guilty_right", "guilty_asked")}
    return {**sums, **percentiles, "node_days": round(sums["node_days"], 1)}


def bound(what: str, results: Iterable[dict[str, Any]]) -> str:
    """How rare false incidents are, and how frequent they could be all the same."""
    held = list(results)
    false, days = sum(one["false"] for one in held), sum(one["node_days"] for one in held)
    most = most_events(false) / days
    return f"{what}: {false} false incidents in {days:.1f} node-days; at 95 % at most {most:.4f} a node-day"


def wrong(results: list[dict[str, Any]]) -> Iterator[str]:
    """Every cause that did not come out as it should, and every false incident; times in s since the run's start."""
    for one in results:
        for cause in one["by_cause"]:
            faults = list(_faults(cause))
            if faults:
                at = cause["start"] - one["start_unix"]
                yield f"{one['run']}: {at:.0f} s {cause['id']} {cause['label']}: {'; '.join(faults)}"
        for told in one["false_incidents"]:
            at = told["opened_at"] - one["start_unix"]
            yield f"{one['run']}: {at:.0f} s FALSE {told['kind']} {told['subject']} {told['id']}"


def _faults(cause: dict[str, Any]) -> Iterator[str]:
    if not cause["incidents"]:
        yield f"merged into {cause['merged_into']}" if cause["merged_into"] else "missed"
        return
    if not cause["root_right"]:
        yield f"root {cause['root']} is wrong"
    if cause["guilty_right"] is False:
        yield f"guilty wrong or not named (root {cause['root']})"
    if len(cause["incidents"]) > 1:
        yield f"split in {len(cause['incidents'])}"


if __name__ == "__main__":
    main()
