"""Every measurement in brief, one line each: `make bench`, about five minutes.

Each alone, and in full: `python -m benchmarks.NAME`; `--help` says what it measures and how.

The figures of docs/benchmarks.md are taken with the full commands stated there, on a machine that does nothing else.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Iterable

from benchmarks import event_to_incident, events_burst, recordings, replay_speed, tick, working_set


def other(*arguments: str) -> Callable[[], Iterable[str]]:
    """A measurement with a report of several lines: its own, indented."""

    def run() -> list[str]:
        asked = [sys.executable, "-m", *arguments]
        said = subprocess.run(asked, capture_output=True, text=True, check=False)
        lines = (said.stdout or said.stderr).strip().splitlines()
        return [" ".join(arguments), *("  " + line for line in lines)]

    return run


BRIEF: dict[str, Callable[[], Iterable[str]]] = {
    "tick": lambda: (tick.line(gpus, looks=2) for gpus in (1_000, 100_000)),
    "replay_speed": lambda: [replay_speed.line(runs=1)],
    "recordings": recordings.lines,
    "event_to_incident": lambda: [event_to_incident.line(40)],
    "events_burst": lambda: [events_burst.line(seconds=10)],
    "working_set": lambda: [working_set.line(seconds=30)],
    "ingest_rate": other("benchmarks.ingest_rate", "--seconds", "5", "--with-watch"),
    "collector_cost": other("benchmarks.collector_cost", "--seconds", "20"),
    "store_size": other("benchmarks.store_size"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"only these: {', '.join(BRIEF)}")
    names = parser.parse_args().names or BRIEF
    unknown = [name for name in names if name not in BRIEF]
    if unknown:
        parser.error(f"no measurement is called {unknown[0]}; there are {', '.join(BRIEF)}")
    for name in names:
        print(f"# {name} (load average {os.getloadavg()[0]:.1f})", flush=True)
        for sentence in BRIEF[name]():
            print(sentence, flush=True)


if __name__ == "__main__":
    main()
