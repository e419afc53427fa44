"""The audit's hash chain: each entry's hash covers its content and the hash before it. No SQL here.

It shows an entry that was changed, removed from the middle or slipped in. It does not show that the newest entries were
cut off, nor a chain rewritten whole: for that the newest hash must be known outside the database. Old entries may go
behind a checkpoint, an entry that bears the hash of the last one that went.
"""

import hashlib
from collections.abc import Iterable

import msgspec

from policies.model import AuditEntry

FIRST_PREVIOUS_HASH = "0" * 64
"""What the first entry names as the hash before it."""


def entry_hash(entry: AuditEntry) -> str:
    """sha256, in hex, over the previous hash and the entry's content as JSON with sorted keys."""
    content = {
        "sequence": entry.sequence,
        "time_ns": entry.time_ns,
        "actor": entry.actor,
        "what": entry.what,
        "about": entry.about,
        "detail": entry.detail,
    }
    return hashlib.sha256(entry.previous_hash.encode() + msgspec.json.encode(content, order="sorted")).hexdigest()


def next_entry(last: AuditEntry | None, *, time_ns: int, actor: str, what: str, about: str, detail: str) -> AuditEntry:
    """The entry that follows `last` (None: the first of all), with its hash."""
    behind = (last.sequence, last.hash) if last is not None else None
    return entry_behind(behind, time_ns=time_ns, actor=actor, what=what, about=about, detail=detail)


def entry_behind(
    last: tuple[int, str] | None, *, time_ns: int, actor: str, what: str, about: str, detail: str
) -> AuditEntry:
    """The same, where only the last entry's sequence and hash are at hand."""
    entry = AuditEntry(
        sequence=last[0] + 1 if last else 1,
        time_ns=time_ns,
        actor=actor,
        what=what,
        about=about,
        detail=detail,
        previous_hash=last[1] if last else FIRST_PREVIOUS_HASH,
        hash="",
    )
    return msgspec.structs.replace(entry, hash=entry_hash(entry))


class Checkpoint(msgspec.Struct, frozen=True):
    """What a checkpoint entry says: the log was cut behind this entry, which bore this hash."""

    upto: int
    hash: str


def checkpoint_of(checkpoints: Iterable[AuditEntry]) -> tuple[int, str] | None:
    """How far the latest of these entries says that the log was cut, and the hash there; None where none says so."""
    latest: tuple[int, str] | None = None
    for entry in checkpoints:
        try:
            said = msgspec.json.decode(entry.detail, type=Checkpoint)
        except (msgspec.MsgspecError, RecursionError):
            continue
        if latest is None or said.upto > latest[0]:
            latest = (said.upto, said.hash)
    return latest


def begins(entry: AuditEntry, cut: tuple[int, str] | None) -> bool:
    """Whether an entry may be the first that is kept: the first of all, or the one behind a checkpoint's cut."""
    sequence, previous = (cut[0] + 1, cut[1]) if cut is not None else (1, FIRST_PREVIOUS_HASH)
    return entry.sequence == sequence and entry.previous_hash == previous and entry.hash == entry_hash(entry)


def follows(last: AuditEntry | None, entry: AuditEntry) -> bool:
    """Whether an entry is whole and stands right behind `last`."""
    return (
        entry.sequence == (last.sequence + 1 if last else 1)
        and entry.previous_hash == (last.hash if last else FIRST_PREVIOUS_HASH)
        and entry.hash == entry_hash(entry)
    )


class FirstBroken:
    """Verifies entries one after the other, as an export has them: the checkpoints come behind what they cut off."""

    def __init__(self) -> None:
        self.last: AuditEntry | None = None
        self._first: AuditEntry | None = None
        self._broken: int | None = None
        self._checkpoints: list[AuditEntry] = []

    def take(self, entry: AuditEntry) -> None:
        """The next one."""
        if self.last is None:
            self._first = entry
        elif self._broken is None and not follows(self.last, entry):
            self._broken = self.last.sequence + 1
        if entry.what == "checkpoint":
            self._checkpoints.append(entry)
        self.last = entry

    @property
    def broken_at(self) -> int | None:
        """Sequence of the first entry that is missing or not what was written; None: what was seen is whole."""
        cut = checkpoint_of(self._checkpoints)
        if self._first is not None and not begins(self._first, cut):
            return cut[0] + 1 if cut is not None else 1
        return self._broken
