"""`python -m testcluster.play`: a played cluster with an agent beside it, until Ctrl-C. `make cluster` calls it."""

import argparse
import signal
import sys
import time
from pathlib import Path

from collectors.errors import GiveUp, WatchError
from policies.model import Mode
from testcluster.play.beside import Choices
from testcluster.play.run import instructions, playing


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 ended as told, 1 something could not be started or has ended by itself (one line says what)."""
    parser = argparse.ArgumentParser(prog="python -m testcluster.play", description=__doc__)
    parser.add_argument("--mode", choices=[mode.value for mode in Mode], default=Mode.AUDIT.value)
    parser.add_argument("--folder", type=Path, default=Path("cluster-data"), help="for state, tokens and logs; emptied")
    parser.add_argument("--policy", type=Path, help="policy file; the one that ships by default")
    parser.add_argument("--nodes", type=int, default=20)
    options = parser.parse_args(arguments)
    mode, folder = Mode(options.mode), options.folder.absolute()
    policy = options.policy.absolute() if options.policy else None
    for number in (signal.SIGTERM, signal.SIGINT):  # Ctrl-C also where a shell in the background had it ignored
        signal.signal(number, signal.default_int_handler)
    try:
        with playing(folder, Choices(mode, policy), _say, nodes=options.nodes) as play:
            _say(instructions(play, mode, folder))
            while True:
                for component in play.plane.components.values():
                    if component.pid is None or not component.alive():
                        raise GiveUp(f"{component.name} has ended; {component.tail()}")
                time.sleep(1.0)
    except KeyboardInterrupt:
        _say("ended")
        return 0
    except (WatchError, OSError) as error:
        sys.stderr.write(f"cluster: {error}\n")
        return 1


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
