"""The fp16 loss scale as a forerunner: it falls when gradients overflow step after step.

A scaler halves its scale on an overflow and doubles it after 256 to 2,000 sound steps, so one halving now and then is
its normal life; three without a rise between are not (GLM-130B: the scale fell 30 steps before the loss exploded;
BigScience tr1-13B: 65536 to 4096). The first search from a high scale downwards is normal too: the rule arms only after
20 lines. A scale of 1.0 throughout (bf16) says nothing.
"""

from collections import deque

HALVINGS = 3
"""Times the scale must have halved within the lines remembered."""
REMEMBERED_LINES = 20
FLOOR = 1.0
"""At or below this a scale that once was at least 16 has nothing left to give: DeepSpeed stops there."""


class LossScale:
    """Follows one job's loss scale."""

    __slots__ = ("_highest", "_lines", "_recent")

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew, as after a restart."""
        self._recent: deque[float] = deque(maxlen=REMEMBERED_LINES)
        self._highest = 0.0
        self._lines = 0

    def fell_from(self, scale: float | None) -> float | None:
        """Take in a line's scale; the scale that it has fallen from, if it has fallen far, else None."""
        if scale is None:
            return None
        self._lines += 1
        if self._lines <= REMEMBERED_LINES:
            # the search for the first scale: what it passes on its way down is no height to fall from
            return None
        self._recent.append(scale)
        self._highest = max(self._highest, scale)
        before = max(self._recent)
        if before >= scale * 2**HALVINGS:
            return before
        if scale <= FLOOR and self._highest >= FLOOR * 16:
            return self._highest
        return None
