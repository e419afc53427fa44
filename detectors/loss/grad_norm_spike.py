"""grad_norm_spike: the gradient norm stands at several times its habit, which may run ahead of the loss.

Signal: `grad_norm` of `training_step` events. Opens on 3 of 5 lines at 5x the median of the last 128 or more
(ByteRobust's ratio; the persistence is ours: a single-step 6 sigma rule fires 29 times per 10,000 healthy steps of a
public log). In BigScience's 176B run the norm rose 0.24, 0.95, 2.4, 16, 145, 960 while the loss stood still, and this
opens at the fifth of these, one step before the loss peaked.

Clears after 5 good lines; on a divergence or NaN, of which it is then a part; and after 128 lines at the new level,
which is then learnt.

Fails: where the norm is logged after clipping (it cannot rise) or as 0.000; in the first 20 lines.
"""

from detectors.contract import Opening
from detectors.loss.habit import WINDOW_LINES, Habit, Standing
from detectors.loss.line import Line
from detectors.loss.line_persistence import LinePersistence
from detectors.loss.statement import evidence, opening
from detectors.model import FindingKind, Inventory, Severity

RATIO = 5.0
NEEDED, OF = 3, 5
GOOD_LINES = 5
SETTLED_LINES = WINDOW_LINES


class GradNormSpike:
    """The rule for one job; `open` is whether it holds."""

    __slots__ = ("_good", "_lines", "_raised", "open", "settled")

    kind = FindingKind.GRAD_NORM_SPIKE

    def __init__(self) -> None:
        self._raised = LinePersistence(NEEDED, OF)
        self.forget()

    def forget(self) -> None:
        """Begin anew, as after a restart."""
        self._raised.forget()
        self._good = 0
        self._lines = 0
        self.open = False
        self.settled = False
        """Whether the last line cleared it because the new level has become the habit."""

    @property
    def suspects(self) -> bool:
        """Whether lines of late look bad enough to be kept out of the habit."""
        return self.open or self._raised.bad_lines >= 2

    def look(self, line: Line, standing: Standing, habit: Habit, inventory: Inventory) -> Opening | str | None:
        """One line in order: an opening, or the sentence that clears it, or nothing."""
        self.settled = False
        if line.grad_norm is None:
            return None
        bad = standing.grad_ratio >= RATIO
        if self.open:
            return self._ended(line, habit, bad)
        if not self._raised.line(bad, line.time_ns):
            return None
        since_ns = self._raised.since_ns
        self.forget()
        self.open = True
        median = habit.grad_norm.median
        loss = f"; loss {line.loss:.4g}, median {habit.loss.median:.4g}" if line.loss is not None else ""
        job = inventory.name_of(line.event.subject)
        return opening(
            self.kind,
            line.event.subject,
            since_ns,
            Severity.WARNING,
            0.6,
            f"The gradient norm of job {job} is {line.grad_norm:.4g} at {line.where}, {standing.grad_ratio:.1f}x its "
            f"median of {median:.4g}, on {NEEDED} of {OF} lines{loss}",
            evidence(line, f"gradient norm {line.grad_norm:.4g} at {line.where}", line.grad_norm, median),
        )

    def _ended(self, line: Line, habit: Habit, bad: bool) -> str | None:
        self._lines += 1
        self._good = 0 if bad else self._good + 1
        if self._good >= GOOD_LINES:
            self.forget()
            return (
                f"the gradient norm is back below {RATIO:g}x its median of {habit.grad_norm.median:.4g} ({line.where})"
            )
        if self._lines >= SETTLED_LINES:
            self.forget()
            self.settled = True
            return (
                f"the gradient norm has kept its new level for {SETTLED_LINES} lines ({line.where}): learnt as normal"
            )
        return None
