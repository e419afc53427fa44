"""Findings about a loss that were open before the agent was restarted, and when they are over.

The job's habit is gone with the old agent, and a loss that has diverged would become the new one. What the finding was
held against when it opened stands in its evidence: the loss must come back near that.
"""

from collections.abc import Iterator

from collectors.model import Subject
from detectors.contract import Clearing
from detectors.loss.line import Line
from detectors.loss.loss_divergence import BACK_RATIO, GOOD_LINES
from detectors.model import Finding, FindingKind

_SCALE = "loss scale"


class Restored:
    """Ten sound lines running clear: finite (`loss_nan`), or within 1.3 times what the finding expected.

    A finding whose evidence expected nothing, or nothing above zero, clears when the job begins anew.
    """

    def __init__(self) -> None:
        self._good: dict[tuple[FindingKind, Subject], int] = {}
        self._expected: dict[tuple[FindingKind, Subject], float | None] = {}

    def add(self, finding: Finding) -> None:
        """Take one over."""
        key = (finding.kind, finding.subject)
        first = finding.evidence[0] if finding.evidence else None
        # an opening by the fp16 loss scale is held against a scale, not a loss
        told = first is not None and not first.text.startswith(_SCALE)
        self._good[key] = 0
        self._expected[key] = first.expected if told and first is not None else None

    def look(self, line: Line) -> Iterator[Clearing]:
        """One line in order."""
        if not self._good:
            return
        for kind in [kind for kind, subject in self._good if subject == line.event.subject]:
            key = kind, line.event.subject
            good = self._is_good(kind, self._expected[key], line)
            if good is None:
                continue
            self._good[key] = self._good[key] + 1 if good else 0
            if self._good[key] >= GOOD_LINES:
                self._drop(key)
                yield Clearing(kind, line.event.subject, f"sound again on {GOOD_LINES} lines running ({line.where})")

    def begin_anew(self, subject: Subject, because: str) -> Iterator[Clearing]:
        """The job was restarted, restored, or has ended."""
        for key in [key for key in self._good if key[1] == subject]:
            self._drop(key)
            yield Clearing(key[0], subject, because)

    @staticmethod
    def _is_good(kind: FindingKind, expected: float | None, line: Line) -> bool | None:
        """None: the line does not say."""
        if line.loss_broken or line.grad_broken:
            return False
        value = line.grad_norm if kind is FindingKind.GRAD_NORM_SPIKE else line.loss
        if value is None:
            return None
        if kind is FindingKind.LOSS_NAN:
            return value != 0.0
        if expected is None or expected <= 0:
            return None
        return value <= BACK_RATIO * expected

    def _drop(self, key: tuple[FindingKind, Subject]) -> None:
        del self._good[key]
        del self._expected[key]
