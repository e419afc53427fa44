"""An agent in a process of its own whose clock runs faster, so that a minute takes seconds.

python fast_agent.py DATA SETTINGS PORT_FILE BASE_NS SPEED
"""

import sys
import time
from pathlib import Path

from agent.server.serve import run
from agent.settings import load_settings


def fast_clock(base_ns: int, speed: float) -> int:
    """The clock that `base_ns` (Unix ns) and `speed` make, now."""
    return base_ns + int((time.time_ns() - base_ns) * speed)


if __name__ == "__main__":
    data, settings, port_file, base, factor = sys.argv[1:]
    run(
        load_settings(Path(settings)),
        Path(data),
        port_file=Path(port_file),
        clock=lambda: fast_clock(int(base), float(factor)),
    )
