"""Which lines of a job are new: ranks repeat each other, restarts go back, bursts arrive late."""

from collections import OrderedDict
from enum import Enum

from detectors.loss.line import Line

REPEAT_WITHIN_NS = 5_000_000_000
"""The same step again within 5 s of its first line is another rank's; no process restarts faster than that."""
BACK_LINES = 2
"""A step number must go back on two lines running before it is a restart; one may be a straggling line."""
REMEMBERED = 256
"""Steps whose line is remembered, so that a rank that lags behind is known as a repeat."""
VOICE_SILENT = 8
"""Lines of others that have gone ahead before another rank is listened to."""


class Place(Enum):
    """Where a line stands in its job's course."""

    NEXT = "next"
    REPEAT = "repeat"
    RESTARTED = "restarted"


class StepOrder:
    """Follows the step numbers of one job.

    Where lines name their rank, one rank is listened to as long as it speaks: other ranks print other figures (their
    own share of the loss, or -1 on all but the last pipeline stage). Where they do not, the first line of a step
    counts. Lines without a step number all count."""

    __slots__ = ("_ahead", "_back", "_seen", "_voice", "last")

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew, as after a restart."""
        self.last: int | None = None
        self._seen: OrderedDict[int, tuple[int, float | None]] = OrderedDict()
        self._back = 0
        self._voice: str | None = None
        self._ahead = 0

    def place(self, line: Line) -> Place:
        """Where the next line received stands. `RESTARTED` forgets what came before the line."""
        rank = line.event.attributes.get("rank", "")
        if self._voice is None:
            self._voice = rank
        elif rank != self._voice:
            self._ahead += line.step is None or self.last is None or line.step > self.last
            if self._ahead < VOICE_SILENT:
                return Place.REPEAT
            self._voice = rank
        self._ahead = 0
        step = line.step
        if step is None:
            return Place.NEXT
        if self.last is None or step > self.last:
            self._back = 0
            self._remember(line, step)
            return Place.NEXT
        seen = self._seen.get(step)
        if seen is not None:
            first_ns, loss = seen
            if abs(line.time_ns - first_ns) <= REPEAT_WITHIN_NS or (loss is not None and loss == line.loss):
                return Place.REPEAT
        if step == self.last:
            return Place.REPEAT
        self._back += 1
        if self._back < BACK_LINES:
            return Place.REPEAT
        self.forget()
        self._voice = rank
        self._remember(line, step)
        return Place.RESTARTED

    def _remember(self, line: Line, step: int) -> None:
        self.last = step
        self._seen[step] = (line.time_ns, line.loss)
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
