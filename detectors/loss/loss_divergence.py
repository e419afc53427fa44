"""loss_divergence: the loss has left its course and stays away.

Signals: `loss`, `grad_norm`, `loss_scale` of `training_step` events. Any of four, against the median of the last 128
lines:

1. 3 of 5 lines above median + 6 sigma AND (above 2x the median OR gradient norm above 3x its median). A resume with
   fresh optimiser state rises 1.8x and 6.6 sigma on real H200s while its gradient norm only doubles: it stays below.
2. 5 lines running above 2x the mean of at least 100 lines (llm-foundry's KillLossSpike: 2x the running mean, 5
   running).
3. the median of the window above 2x the lowest such median since the start: a drift too slow for 1 and 2.
4. the fp16 loss scale has fallen 3 halvings or lies at its floor (`loss_scale`): the gradients overflow.

The window stands still while it is open, so that a plateau at a high loss does not become normal. A restart or a
restore empties it. 20 lines are needed; until then, and where the loss is not above 0, only what needs no habit is
judged.

Fails: a divergence within the first 20 lines; a rise hidden by the steep fall of the first 128 lines; losses around 0
without a gradient norm (RL). A new data mix with twice the loss looks the same, and the finding cannot know.
"""

from detectors.contract import Opening
from detectors.loss.habit import WINDOW_LINES, Habit, Standing
from detectors.loss.line import Line
from detectors.loss.line_persistence import LinePersistence
from detectors.loss.loss_scale import LossScale
from detectors.loss.statement import evidence, opening
from detectors.model import FindingKind, Inventory, Severity

SIGMAS = 6.0
LOSS_RATIO = 2.0
GRAD_RATIO = 3.0
NEEDED, OF = 3, 5
MEAN_LINES = 5
MEAN_HISTORY = 100
MEAN_SIGMAS = 3.0
"""A loss that swings around 0 or has a long tail is often at twice its mean, but not 3 sigma out five times running."""
DRIFT_RATIO = 2.0
GOOD_LINES = 10
"""Good lines running that clear it: twice as many as open it, so that a loss that swings does not flap."""
BACK_RATIO = 1.3
BACK_SIGMAS = 4.0
"""A line is good again below either bound above the median of before: half-way back is not back."""


class LossDivergence:
    """The rule for one job; `open` is whether it holds."""

    __slots__ = ("_above_mean", "_by_scale", "_good", "_jump", "_scale", "open")

    kind = FindingKind.LOSS_DIVERGENCE

    def __init__(self) -> None:
        self._jump = LinePersistence(NEEDED, OF)
        self._above_mean = LinePersistence(MEAN_LINES, MEAN_LINES)
        self._scale = LossScale()
        self.forget()

    def forget(self) -> None:
        """Begin anew, as after a restart."""
        self._jump.forget()
        self._above_mean.forget()
        self._scale.forget()
        self._good = 0
        self._by_scale = False
        self.open = False

    @property
    def suspects(self) -> bool:
        """Whether lines of late look bad enough to be kept out of the habit."""
        return (self.open and not self._by_scale) or self._jump.bad_lines >= 2 or self._above_mean.bad_lines >= 2

    @property
    def loss_has_left(self) -> bool:
        """Whether it is open because of the loss itself, which makes a spike part of it."""
        return self.open and not self._by_scale

    def look(self, line: Line, standing: Standing, habit: Habit, inventory: Inventory) -> Opening | str | None:
        """One line in order: an opening, or the sentence that clears it, or nothing."""
        fell_from = self._scale.fell_from(line.loss_scale)
        if self.open:
            return self._recovered(line, standing, habit, fell_from)
        if fell_from is not None:
            self.open = self._by_scale = True
            self._good = 0
            return self._scale_opening(line, fell_from, inventory)
        loss = line.loss
        if loss is None:
            return None
        far = standing.ratio > LOSS_RATIO
        bad = standing.sigmas > SIGMAS and (far or standing.grad_ratio > GRAD_RATIO)
        above = far and standing.sigmas > MEAN_SIGMAS and habit.loss.count >= MEAN_HISTORY
        above = above and loss > LOSS_RATIO * habit.loss.mean
        # both see every line, whichever opens
        jumped = self._jump.line(bad, line.time_ns)
        stayed = self._above_mean.line(above, line.time_ns)
        if jumped or stayed:
            since_ns = self._jump.since_ns if jumped else self._above_mean.since_ns
            self._opened()
            return self._jump_opening(line, standing, habit, inventory, since_ns)
        lowest = habit.lowest_median
        if lowest is not None and 0 < DRIFT_RATIO * lowest < habit.loss.median < loss and self._drifted(habit, lowest):
            self._opened()
            return self._drift_opening(line, habit, inventory, lowest)
        return None

    @staticmethod
    def _drifted(habit: Habit, lowest: float) -> bool:
        """Whether the median has risen by more than single lines scatter: that of 128 lines wanders far less."""
        return habit.loss.median - lowest > habit.loss.sigma

    def _opened(self) -> None:
        self.open = True
        self._by_scale = False
        self._good = 0
        self._jump.forget()
        self._above_mean.forget()

    def _recovered(self, line: Line, standing: Standing, habit: Habit, fell_from: float | None) -> str | None:
        loss = line.loss
        if loss is None or line.loss_broken:
            return None
        if self._by_scale:
            good = fell_from is None
        else:
            median = habit.loss.median
            lowest = habit.lowest_median
            # after a drift the window's own median is the high one; what was reached before is the measure
            course = median if lowest is None or lowest <= 0 else min(median, DRIFT_RATIO * lowest)
            good = loss <= max(BACK_RATIO * course, course + BACK_SIGMAS * habit.loss.sigma)
        self._good = self._good + 1 if good else 0
        if self._good < GOOD_LINES:
            return None
        by_scale = self._by_scale
        self.open = self._by_scale = False
        if by_scale:
            return f"the loss scale has stopped falling for {GOOD_LINES} lines ({line.where})"
        return f"the loss is back near its median, {habit.loss.median:.4g}, for {GOOD_LINES} lines ({line.where})"

    def _jump_opening(
        self, line: Line, standing: Standing, habit: Habit, inventory: Inventory, since_ns: int
    ) -> Opening:
        median, count, loss = habit.loss.median, habit.loss.count, line.loss
        assert loss is not None  # noqa: S101 - judged above; says so to the type checker
        grad = standing.grad_ratio
        beside = f", gradient norm {line.grad_norm:.4g} is {grad:.1f}x its median" if grad and line.grad_norm else ""
        times = f", {loss / median:.1f}x" if median > 0 else ","
        job = inventory.name_of(line.event.subject)
        return opening(
            self.kind,
            line.event.subject,
            since_ns,
            Severity.CRITICAL,
            0.9,
            f"The loss of job {job} is {loss:.4g} at {line.where}{times} its median of {median:.4g} over {count} "
            f"lines, and stays there{beside}",
            evidence(
                line, f"loss {loss:.4g} at {line.where}, {standing.sigmas:.1f} sigma above its median", loss, median
            ),
            *(
                [evidence(line, f"gradient norm {line.grad_norm:.4g}", line.grad_norm, habit.grad_norm.median)]
                if grad
                else []
            ),
        )

    def _drift_opening(self, line: Line, habit: Habit, inventory: Inventory, lowest: float) -> Opening:
        median = habit.loss.median
        job = inventory.name_of(line.event.subject)
        return opening(
            self.kind,
            line.event.subject,
            line.time_ns,
            Severity.WARNING,
            0.7,
            f"The loss of job {job} has drifted upwards: median {median:.4g} over {WINDOW_LINES} lines at "
            f"{line.where}, it was {lowest:.4g} before",
            evidence(line, f"median loss {median:.4g} at {line.where}, lowest before {lowest:.4g}", median, lowest),
        )

    def _scale_opening(self, line: Line, fell_from: float, inventory: Inventory) -> Opening:
        scale = line.loss_scale or 0.0
        job = inventory.name_of(line.event.subject)
        return opening(
            self.kind,
            line.event.subject,
            line.time_ns,
            Severity.WARNING,
            0.5,
            f"The fp16 loss scale of job {job} has fallen from {fell_from:g} to {scale:g} at {line.where}: gradients "
            "overflow step after step, and the loss often follows",
            evidence(line, f"loss scale {scale:g} at {line.where}", scale, fell_from),
        )
