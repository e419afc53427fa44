"""Deaths of data-loader workers.

RuntimeError: DataLoader worker (pid 29001) is killed by signal: Killed.
RuntimeError: DataLoader worker (pid(s) 123, 456) exited unexpectedly
"""

import re

from collectors.model import EventKind
from collectors.training_log.line import LogLine, Saying

_DIED = re.compile(
    r"DataLoader worker \(pid(?:\(s\))? (?P<pid>[\d, ]{1,200})\) "
    r"(?:is killed by signal: (?P<signal>[A-Z][\w /]{0,40})|(?P<exited>exited unexpectedly))",
    re.ASCII,
)
_CAUGHT = re.compile(r"Caught (?P<exception>\w{1,64}) in DataLoader worker process (?P<worker>\d{1,6})", re.ASCII)
_SHARED_MEMORY = "Unexpected bus error encountered in worker"


class Reader:
    """Reads one line at a time."""

    words = ("DataLoader worker", _SHARED_MEMORY)

    def read(self, line: LogLine) -> list[Saying]:
        """One saying, or none."""
        text = line.text
        if (died := _DIED.search(text)) is not None:
            detail = f"killed by signal: {died['signal']}" if died["signal"] else "exited unexpectedly"
            attributes = {"pid": died["pid"].strip(), "detail": detail, "signal": died["signal"] or ""}
        elif (caught := _CAUGHT.search(text)) is not None:
            attributes = {"exception": caught["exception"], "worker": caught["worker"], "detail": "exception in worker"}
        elif _SHARED_MEMORY in text:
            attributes = {"detail": "bus error: shared memory may be too small"}
        else:
            return []
        return [Saying(EventKind.DATALOADER_ERROR, {}, attributes)]
