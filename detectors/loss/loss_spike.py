"""loss_spike: the loss stands above its course for several lines, but not so far that it has diverged.

Signals: `loss`, `grad_norm` of `training_step` events. Opens on 4 of 6 lines above median + 4 sigma of the last 128,
or on 2 of 5 above 4 sigma whose gradient norm is above 3x its median. One line alone never opens it: single-step
rules of 6 or 7 sigma fire 6 to 20 times per 10,000 healthy steps on public logs. With tails as long as theirs (0.6 % of
lines beyond 4 sigma) 3 of 5 come by chance twice in a million lines, five times a day on thirty jobs that log each
second (met on simulated ones; 344,970 public lines show none); 4 of 6 twice in a hundred million.

Clears after 5 good lines; on a divergence or NaN, of which it is then a part; and after 128 lines at the new level,
which is then learnt as the habit (a new data mix, a new batch size).

Fails: a spike of one or two logged lines is not told (a job that logs every 40 steps shows few); a rise smaller than 4
sigma of the job's own noise.
"""

from detectors.contract import Opening
from detectors.loss.habit import WINDOW_LINES, Habit, Standing
from detectors.loss.line import Line
from detectors.loss.line_persistence import LinePersistence
from detectors.loss.statement import evidence, opening
from detectors.model import FindingKind, Inventory, Severity

SIGMAS = 4.0
GRAD_RATIO = 3.0
LOSS_RATIO = 2.0
"""Above this times its median the loss is on its way to a divergence, which the next line decides."""
NEEDED, OF = 4, 6
JOINTLY_NEEDED, JOINTLY_OF = 2, 5
GOOD_LINES = 5
SETTLED_LINES = WINDOW_LINES


class LossSpike:
    """The rule for one job; `open` is whether it holds."""

    __slots__ = ("_alone", "_good", "_jointly", "_lines", "open", "settled")

    kind = FindingKind.LOSS_SPIKE

    def __init__(self) -> None:
        self._alone = LinePersistence(NEEDED, OF)
        self._jointly = LinePersistence(JOINTLY_NEEDED, JOINTLY_OF)
        self.forget()

    def forget(self) -> None:
        """Begin anew, as after a restart."""
        self._alone.forget()
        self._jointly.forget()
        self._good = 0
        self._lines = 0
        self.open = False
        self.settled = False
        """Whether the last line cleared it because the new level has become the habit."""

    @property
    def suspects(self) -> bool:
        """Whether lines of late look bad enough to be kept out of the habit."""
        return self.open or self._alone.bad_lines >= 2

    def look(self, line: Line, standing: Standing, habit: Habit, inventory: Inventory) -> Opening | str | None:
        """One line in order: an opening, or the sentence that clears it, or nothing."""
        self.settled = False
        loss = line.loss
        if loss is None:
            return None
        bad = standing.sigmas > SIGMAS
        if self.open:
            return self._ended(line, habit, bad)
        alone = self._alone.line(bad, line.time_ns)
        joint = bad and standing.grad_ratio > GRAD_RATIO and standing.ratio <= LOSS_RATIO
        jointly = self._jointly.line(joint, line.time_ns)
        if not (alone or jointly):
            return None
        since_ns = self._alone.since_ns if alone else self._jointly.since_ns
        self.forget()
        self.open = True
        median, count = habit.loss.median, habit.loss.count
        job = inventory.name_of(line.event.subject)
        return opening(
            self.kind,
            line.event.subject,
            since_ns,
            Severity.WARNING,
            0.7,
            f"The loss of job {job} spikes: {loss:.4g} at {line.where}, median {median:.4g} over {count} lines",
            evidence(
                line, f"loss {loss:.4g} at {line.where}, {standing.sigmas:.1f} sigma above its median", loss, median
            ),
        )

    def _ended(self, line: Line, habit: Habit, bad: bool) -> str | None:
        self._lines += 1
        self._good = 0 if bad else self._good + 1
        if self._good >= GOOD_LINES:
            self.forget()
            return f"the loss is back within {SIGMAS:g} sigma of its median {habit.loss.median:.4g} ({line.where})"
        if self._lines >= SETTLED_LINES:
            median = habit.loss.median
            self.forget()
            self.settled = True
            return (
                f"the loss has stayed at its new level for {SETTLED_LINES} lines ({line.loss:.4g} at {line.where}, "
                f"median before {median:.4g}): it is learnt as normal"
            )
        return None
