"""The audit as one identity may see it: what is said about incidents that it may read whole.

Decisions, whose reasons speak of the fleet, and entries about anything else are counted. Hashes are withheld from who
may not read all: an entry's hash holds the one before it, and what one guesses could be tried on it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
from msgspec.structs import replace

from agent.access.visible import Visible
from policies.model import AuditEntry

LOOKED_THROUGH = 50_000
"""Entries, for one page: who wants more asks on from where it ended."""
_AT_ONCE = 1_000


class _Word(msgspec.Struct, frozen=True):
    other: str = ""


class _About(msgspec.Struct):
    incident: str = ""
    word: _Word = _Word()


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Part of the log."""

    entries: list[AuditEntry]
    looked_to: int
    """Sequence number of the last entry that was looked at, shown or not; `after_sequence` where there was none."""
    hidden: int
    """Entries that were passed over."""


def incident_of(entry: AuditEntry) -> str:
    """The incident that an entry belongs to; empty where it tells none."""
    return _about(entry).incident


def audit(visible: Visible, *, after_sequence: int = 0, limit: int = 200, newest_first: bool = False) -> AuditPage:
    """Entries behind `after_sequence`, in their order or the newest first."""
    if not visible.limited:
        found = visible.store.audit(after_sequence=after_sequence, limit=limit, newest_first=newest_first)
        return AuditPage(found, found[-1].sequence if found else after_sequence, 0)
    shown: list[AuditEntry] = []
    hidden, looked_to = 0, after_sequence
    for entry in _newest(visible, after_sequence) if newest_first else _oldest(visible, after_sequence):
        if len(shown) >= limit or hidden + len(shown) >= LOOKED_THROUGH:
            break
        looked_to = entry.sequence
        if reads(visible, entry):
            shown.append(replace(entry, previous_hash="", hash=""))
        else:
            hidden += 1
    return AuditPage(shown, looked_to, hidden)


def audit_before(visible: Visible, before: int, limit: int) -> AuditPage:
    """The newest entries with a lower number than `before`, the newest first."""
    shown: list[AuditEntry] = []
    hidden, looked_to = 0, before
    for entry in _down(visible, before):
        if len(shown) >= limit or hidden + len(shown) >= LOOKED_THROUGH:
            break
        looked_to = entry.sequence
        if not visible.limited:
            shown.append(entry)
        elif reads(visible, entry):
            shown.append(replace(entry, previous_hash="", hash=""))
        else:
            hidden += 1
    return AuditPage(shown, looked_to, hidden)


def reads(visible: Visible, entry: AuditEntry) -> bool:
    """Whether an entry may be read: it, and a second incident that it names, belong to one's namespaces whole."""
    about = _about(entry)
    if not visible.limited:
        return True
    if entry.what == "decision" or not about.incident or not _whole(visible, about.incident):
        return False  # a decision's reasons speak of the whole fleet
    if entry.about.startswith("PLN-"):
        plan = visible.store.journal.get(entry.about)
        return plan is not None and visible.shows_plan(plan)
    return not about.word.other or _whole(visible, about.word.other)


def _about(entry: AuditEntry) -> _About:
    try:
        about = msgspec.json.decode(entry.detail, type=_About)
    except (msgspec.MsgspecError, RecursionError):
        about = _About()
    return replace(about, incident=entry.about) if entry.about.startswith("INC-") else about


def _whole(visible: Visible, incident: str) -> bool:
    seen = visible.by_id(incident)
    return seen is not None and seen.whole


def _oldest(visible: Visible, after: int) -> Iterator[AuditEntry]:
    while page := visible.store.audit(after_sequence=after, limit=_AT_ONCE):
        yield from page
        after = page[-1].sequence


def _newest(visible: Visible, after: int) -> Iterator[AuditEntry]:
    head = visible.store.audit(limit=1, newest_first=True)
    for entry in _down(visible, head[0].sequence + 1) if head else ():
        if entry.sequence <= after:
            return
        yield entry


def _down(visible: Visible, before: int) -> Iterator[AuditEntry]:
    """Entries below a number, the newest first; the log may begin behind a checkpoint."""
    while before > 1:
        start = max(0, before - _AT_ONCE - 1)
        page = [e for e in visible.store.audit(after_sequence=start, limit=before - 1 - start) if e.sequence < before]
        yield from reversed(page)
        if not page:
            return
        before = start + 1
