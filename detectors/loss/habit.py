"""What one job's loss and gradient norm are like on its last lines."""

import msgspec

from detectors.loss.line import Line
from detectors.loss.window import RobustWindow

WINDOW_LINES = 128
"""OLMo-core's rolling window (`skip_step_optimizer.py`), and the one whose false alarms have been measured."""
LEAST_LINES = 20
"""Lines before a habit is one; OLMo-core asks for max(20, 64). A job that logs every 40 steps is ready after 800."""
RECENT_LINES = 24
"""A shorter memory, believed where its spread is at most half the window's, as while the loss still falls steeply:
128 lines of a log every 40 steps are 5,000 steps, and the first of them say nothing about the present."""
RECENT_MARGIN = 1.5
"""The spread of so few values is itself uncertain by a quarter: it is widened by twice that."""
SIGMA_FLOOR = 0.01
"""Spread is at least this share of the median: a log that rounds to two digits can show no spread at all."""


class Standing(msgspec.Struct, frozen=True, gc=False):
    """How far one line stands out from the habit; 0 where there is no habit or the line does not say."""

    sigmas: float
    """Standard deviations of the loss above its median; 0 below it."""
    ratio: float
    """Loss over its median; 0 where that is not above 0 (log-likelihoods, rewards)."""
    grad_ratio: float
    """Gradient norm over its median; 0 where that is 0 (a broken field)."""


class Habit:
    """Windows of the job's loss and gradient norm; what a rule finds bad stays out of them."""

    __slots__ = ("grad_norm", "lines", "loss", "lowest_median", "recent")

    def __init__(self) -> None:
        self.loss = RobustWindow(WINDOW_LINES)
        self.recent = RobustWindow(RECENT_LINES)
        """The last of the losses in `loss`."""
        self.grad_norm = RobustWindow(WINDOW_LINES)
        self.forget()

    def forget(self) -> None:
        """Begin anew, as after a restart."""
        self.lowest_median: float | None = None
        """The lowest median of a full window of the loss since the beginning."""
        self.forget_loss()
        self.grad_norm.empty()
        self.lines = 0
        """Lines since the beginning."""

    @property
    def ready(self) -> bool:
        """Whether the loss has a habit."""
        return self.loss.count >= LEAST_LINES

    def learn(self, line: Line, *, loss: bool, grad_norm: bool) -> None:
        """Take a line into the windows, each figure only where told to."""
        if loss and line.loss is not None:
            self.loss.add(line.loss)
            self.recent.add(line.loss)
        if grad_norm and line.grad_norm is not None:
            self.grad_norm.add(line.grad_norm)
        if self.loss.count == WINDOW_LINES and not self.lines % (WINDOW_LINES // 4):
            median = self.loss.median
            self.lowest_median = median if self.lowest_median is None else min(median, self.lowest_median)

    def forget_loss(self) -> None:
        """Begin the loss anew: it has settled at another level."""
        self.loss.empty()
        self.recent.empty()
        self.lowest_median = None

    def standing(self, line: Line) -> Standing:
        """How far a line stands out, judged by the lines before it."""
        sigmas = ratio = 0.0
        if line.loss is not None and self.ready:
            median = self.loss.median
            rise = line.loss - median
            if rise > 0:
                spread = self.loss.sigma
                recent = RECENT_MARGIN * self.recent.sigma
                if 0 < 2.0 * recent < spread:
                    spread = recent
                sigma = max(spread, SIGMA_FLOOR * abs(median))
                # a loss that was always exactly 0 has no unit to measure a rise in
                sigmas = rise / sigma if sigma > 0 else 0.0
            ratio = line.loss / median if median > 0 else 0.0
        grad_ratio = 0.0
        if line.grad_norm is not None and self.grad_norm.count >= LEAST_LINES and self.grad_norm.median > 0:
            grad_ratio = line.grad_norm / self.grad_norm.median
        return Standing(sigmas, ratio, grad_ratio)
