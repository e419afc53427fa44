"""What comes and goes is one incident with a count (`Incident.reopened`), not one more each time.

The same condition on the same subject within ten minutes of its incident's end opens that incident again, where it
rests on the same readings, on the same side. Where it rests on others it may have another cause: a card that was slow
at full power and, half a minute later, for want of its host (recordings: h200-ddp) has had two faults. A job that dies
of another exception than before has crashed anew. The third time it is one incident anyhow.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from collectors.model import Origin, Subject
from detectors.correlation.link import SECOND_NS, Known, began_ns
from detectors.model import Evidence, Finding, FindingKind, Incident, IncidentState
from detectors.recurrence import ANEW

REOPEN_SECONDS = 600.0
"""At most this between the end of one and the beginning of the next. A choice: a fan that fails swings in minutes."""
FLAPS = 3
"""So many in a row are flapping, whatever they rest on."""

ALIKE = 0.03
"""A reading this near to what it was held against is neither above nor below it: clocks of healthy ranks drift apart
by 5 % either way."""

MOMENT_SECONDS = 60.0
"""What merely followed from something else may be gone for this long and be the same still: an incident rests for 30 s
before it is resolved, and a condition that comes back is known 30 s later at most. A choice."""

CRASHES = frozenset({FindingKind.JOB_CRASH, FindingKind.RANK_CRASH})
"""What rests on words alone: another exception is another bug."""
_NUMBER = re.compile(r"0x[0-9a-f]+|\d+", re.IGNORECASE)

_What = tuple[FindingKind, Subject, str, Origin]


@dataclass(slots=True)
class Flapping:
    """Resolved incidents by what their root was."""

    _past: dict[_What, dict[str, Finding]] = field(default_factory=dict)
    _of: dict[str, _What] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._of)

    def note(self, incident: str, root: Finding) -> None:
        """An incident was resolved."""
        what = _what(root)
        self._past.setdefault(what, {})[incident] = root
        self._of[incident] = what

    def forget(self, incident: str) -> None:
        """It is too long ago, or open again."""
        what = self._of.pop(incident, None)
        if what is not None:
            del self._past[what][incident]
            if not self._past[what]:
                del self._past[what]

    def back(self, newcomer: Finding, incidents: Mapping[str, Incident], now_ns: int) -> list[str]:
        """The incidents, latest first, that a newcomer makes one again; none where it is a new one."""
        row: list[str] = []
        roots: list[Finding] = []
        times, next_ns = 1, now_ns
        for incident, root in reversed(self._past.get(_what(newcomer), {}).items()):
            held = incidents[incident]
            if held.state is not IncidentState.RESOLVED or held.resolved_ns is None:
                break
            if next_ns - held.resolved_ns > REOPEN_SECONDS * SECOND_NS:
                break
            row.append(incident)
            roots.append(root)
            times, next_ns = times + 1 + held.reopened, held.opened_ns
        if times >= FLAPS:
            return row
        return row[:1] if roots and _readings(roots[0]) == _readings(newcomer) and _agree(roots[0], newcomer) else []


def goes_on(earlier: Finding, newcomer: Finding, is_root: bool, cause: Known | None) -> bool:
    """Whether what an open incident has said, and is said again, is the same condition still: it holds, or was over for
    a moment only.

    An incident may stay open for days (a card that waits for its reset): a job that crashes again meanwhile has crashed
    anew. What the incident is about (`is_root`) may come and go as an incident of its own may. What was over before the
    newcomer's `cause` began is nothing that goes on.
    """
    if earlier.cleared_ns is None:
        return True
    if cause is not None and began_ns(cause.finding) > earlier.cleared_ns:
        return False
    if earlier.cleared_because == ANEW and earlier.cleared_ns == newcomer.opened_ns:
        return False  # the word that opened the newcomer closed it: another fault of the same card
    if is_root and not _agree(earlier, newcomer):
        return False
    patience_s = REOPEN_SECONDS if is_root else MOMENT_SECONDS
    return newcomer.since_ns - earlier.cleared_ns <= patience_s * SECOND_NS


def _what(finding: Finding) -> _What:
    return finding.kind, finding.subject, finding.mark, finding.origin


def _readings(finding: Finding) -> frozenset[tuple[str, int]]:
    """The readings that a finding rests on, and whether each was below, at or above what it was held against; what
    logs add, and when, tells nothing about the condition."""
    return frozenset((item.metric, _side(item)) for item in finding.evidence if item.source in ("nvml", "dcgm"))


def _agree(one: Finding, other: Finding) -> bool:
    """Whether a crash is said in the words of the one before, numbers aside, as far as both have words."""
    if one.kind not in CRASHES:
        return True
    ours, theirs = _words(one), _words(other)
    return all(ours[metric] == theirs[metric] for metric in ours.keys() & theirs.keys())


def _words(finding: Finding) -> dict[str, str]:
    return {item.metric: _NUMBER.sub("#", item.text) for item in finding.evidence if item.source == "training_log"}


def _side(item: Evidence) -> int:
    if item.value is None or item.expected is None:
        return 0
    gap = item.value - item.expected
    return 0 if abs(gap) <= ALIKE * abs(item.expected) else 1 if gap > 0 else -1
