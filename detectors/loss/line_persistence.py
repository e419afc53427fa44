"""k of the last n lines: persistence of one condition of one job."""


class LinePersistence:
    """Counts lines, not seconds, so that logs in bursts and logs every 40 steps are judged alike."""

    __slots__ = ("_marks", "_needed", "_of", "_times")

    def __init__(self, needed: int, of: int) -> None:
        self._needed = needed
        self._of = of
        self.forget()

    def forget(self) -> None:
        """Back to the beginning: no bad line seen."""
        self._marks = 0
        self._times: tuple[int, ...] = ()

    def line(self, bad: bool, time_ns: int) -> bool:
        """Take in one line; whether it is bad and enough of the last lines are too."""
        if not bad and not self._marks:
            return False
        self._marks = ((self._marks << 1) | bad) & ((1 << self._of) - 1)
        times = (*self._times, time_ns) if bad else self._times
        self._times = times[len(times) - self._marks.bit_count() :]
        return bad and len(self._times) >= self._needed

    @property
    def bad_lines(self) -> int:
        """How many of the last lines were bad."""
        return len(self._times)

    @property
    def since_ns(self) -> int:
        """Time of the first of them, Unix ns; 0 where there is none."""
        return self._times[0] if self._times else 0
