"""`watchstander simulate`: a recording of a whole cluster with known faults."""

import argparse
import sys
import time
from pathlib import Path

from agent.cli.exit_codes import OK

HELP = "write a recording of a simulated cluster, with what was done to it"
EPILOG = """\
Scenarios: day (40 faults on 200 nodes in 2 hours), quiet (none), wave (a rack loses its cooling), cascade (Xid 79 and
all that follows), or a YAML file. `watchstander replay DIR` plays what it writes, `watchstander score DIR` judges it.
docs/simulator.md describes scenarios, parameters and files. The same scenario, sizes and seed give the same bytes."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("scenario", metavar="SCENARIO", help="day, quiet, wave, cascade, or a YAML file")
    parser.add_argument("--nodes", type=int, metavar="N", help="nodes of 8 GPUs; default by scenario (day: 200)")
    parser.add_argument("--hours", type=float, metavar="H", help="simulated hours; default by scenario (day: 2)")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="another seed, another course; default 1")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder for what is written")


def run(args: argparse.Namespace) -> int:
    """Simulate, with a word on how far it is where somebody looks on."""
    import msgspec

    from agent.simulate.built_in import BUILT_IN, DEFAULTS
    from agent.simulate.scenario import checked, read_scenario
    from agent.simulate.simulation import simulate
    from collectors.errors import FixConfiguration

    if args.seed < 0:
        raise FixConfiguration(f"--seed {args.seed}: give a number from 0 on")
    if args.scenario in BUILT_IN:
        nodes, hours = DEFAULTS[args.scenario]
        nodes, hours = args.nodes if args.nodes is not None else nodes, args.hours if args.hours is not None else hours
        if not 1 <= nodes <= 20_000 or not 0 < hours <= 744:
            raise FixConfiguration(f"--nodes {nodes} --hours {hours}: give 1 to 20000 nodes, and up to 744 hours")
        scenario = BUILT_IN[args.scenario](nodes, hours)
    else:
        scenario = read_scenario(Path(args.scenario))
        changes = {key: getattr(args, key) for key in ("nodes", "hours") if getattr(args, key) is not None}
        scenario = msgspec.structs.replace(scenario, **changes)
    scenario = checked(scenario, args.scenario)
    began = time.monotonic()
    watched = sys.stderr.isatty()

    def tell(share: float) -> None:
        if watched:
            print(f"\r{share:4.0%} of {scenario.hours * 3600:.0f} s", end="", file=sys.stderr, flush=True)

    done = simulate(scenario, args.seed, args.out, tell)
    if watched:
        print("\r" + " " * 40 + "\r", end="", file=sys.stderr)
    took = time.monotonic() - began
    print(
        f"{args.out}: {done.nodes} nodes, {done.gpus} GPUs, {done.jobs} jobs, {done.seconds:.0f} s, "
        f"{done.faults} faults; {done.batches} batches, {done.bytes / 1e6:.1f} MB, in {took:.1f} s"
    )
    return OK
