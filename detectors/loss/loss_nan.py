"""loss_nan: the loss or the gradients are no longer numbers, on several lines running.

Signals: `loss`, `grad_norm`, `nan_steps`, `loss_scale` of `training_step` events, from the training log. Opens when
loss AND gradient norm are NaN or infinite on 2 lines running, or either on 3. One broken gradient norm with a finite
loss is an fp16 step that the loss scaler skips; while it still searches for its first scale it skips up to ten
running, so before the first finite gradient norm 20 lines are asked for. Hugging Face hides a NaN loss as exactly 0.0
beside a NaN gradient norm; Megatron counts NaN steps apart and leaves them out of the loss. A loss of exactly 0.0
with sound gradients on 5 lines, where its median was above 0.1, is a NaN hidden elsewhere or a fault of labels or
data (allenai/OLMo#692, hiyouga/LlamaFactory#8261); nothing in the log tells the two apart, and the finding says so.

Fails: where the trainer logs neither figure on broken steps, and where a metric that is not the loss stands as `loss`.
"""

from detectors.contract import Opening
from detectors.loss.habit import Habit, Standing
from detectors.loss.line import Line
from detectors.loss.line_persistence import LinePersistence
from detectors.loss.statement import evidence, opening
from detectors.model import FindingKind, Inventory, Severity

BOTH_LINES = 2
EITHER_LINES = 3
SEARCH_LINES = 20
ZERO_LINES = 5
ZERO_MEDIAN = 0.1
GOOD_LINES = 5
"""Sound lines running that clear it."""


class LossNan:
    """The rule for one job; `open` is whether it holds."""

    __slots__ = ("_both", "_either", "_finite_grad", "_good", "_since_ns", "_zero", "open")

    kind = FindingKind.LOSS_NAN

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew, as after a restart."""
        self._both = 0
        self._either = 0
        self._good = 0
        self._since_ns = 0
        self._finite_grad = False
        self._zero = LinePersistence(ZERO_LINES, ZERO_LINES)
        self.open = False

    @property
    def suspects(self) -> bool:
        """Whether the last line was broken."""
        return self._either > 0

    def look(self, line: Line, standing: Standing, habit: Habit, inventory: Inventory) -> Opening | str | None:
        """One line in order: an opening, or the sentence that clears it, or nothing."""
        broken = line.loss_broken or line.grad_broken
        if line.grad_norm is not None:
            self._finite_grad = True
        zero = line.loss == 0.0 and habit.ready and habit.loss.median > ZERO_MEDIAN
        zero_holds = self._zero.line(zero, line.time_ns)
        if broken:
            if not self._either:
                self._since_ns = line.time_ns
            self._either += 1
            self._both = self._both + 1 if line.loss_broken and line.grad_broken else 0
            self._good = 0
        elif line.loss is not None or line.grad_norm is not None:
            # a line without either figure (an overflow step in some logs) is no proof of health
            self._either = 0
            self._both = 0
            self._good = 0 if zero else self._good + 1
        if self.open:
            return self._recovered(line)
        if self._holds(line):
            self.open = True
            return self._broken_opening(line, habit, inventory)
        if zero_holds:
            self.open = True
            return self._zero_opening(line, habit, inventory)
        return None

    def _holds(self, line: Line) -> bool:
        if self._both >= BOTH_LINES:
            return True
        searching = not self._finite_grad and not line.loss_broken
        return self._either >= (SEARCH_LINES if searching else EITHER_LINES)

    def _recovered(self, line: Line) -> str | None:
        if self._good < GOOD_LINES:
            return None
        self.open = False
        return f"loss and gradients are finite again on {GOOD_LINES} lines running ({line.where})"

    def _broken_opening(self, line: Line, habit: Habit, inventory: Inventory) -> Opening:
        count = self._either
        what = "loss" if line.loss_broken else "gradient norm"
        hidden = ", which the trainer prints as 0.0" if line.masked else ""
        before = f" (median before {habit.loss.median:.4g} over {habit.loss.count} lines)" if habit.loss.count else ""
        job = inventory.name_of(line.event.subject)
        return opening(
            self.kind,
            line.event.subject,
            self._since_ns,
            Severity.CRITICAL,
            0.97 if line.loss_broken else 0.85,
            f"The {what} of job {job} is NaN or infinite{hidden} on {count} lines running, at {line.where}{before}",
            evidence(
                line,
                f"loss {line.event.values.get('loss')}, gradient norm {line.event.values.get('grad_norm')} at "
                f"{line.where}: line {count} of its kind running",
                line.event.values.get("loss"),
                habit.loss.median if habit.loss.count else None,
            ),
        )

    def _zero_opening(self, line: Line, habit: Habit, inventory: Inventory) -> Opening:
        median = habit.loss.median
        job = inventory.name_of(line.event.subject)
        return opening(
            self.kind,
            line.event.subject,
            self._zero.since_ns,
            Severity.WARNING,
            0.6,
            f"The loss of job {job} reads exactly 0.0 on {ZERO_LINES} lines running, at {line.where} (median before "
            f"{median:.4g}): a NaN that the trainer hides, or labels or data that give no loss",
            evidence(line, f"loss exactly 0.0 at {line.where}, median before {median:.4g}", 0.0, median),
        )
