"""The audit's hash chain: each entry's hash covers its content and the hash before it. No SQL here.

It shows an entry that was changed, removed from the middle or slipped in. It does not show that the newest entries were
cut off, nor a chain rewritten whole: for that the newest hash must be known outside the database.
"""

import hashlib

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
    entry = AuditEntry(
        sequence=last.sequence + 1 if last else 1,
        time_ns=time_ns,
        actor=actor,
        what=what,
        about=about,
        detail=detail,
        previous_hash=last.hash if last else FIRST_PREVIOUS_HASH,
        hash="",
    )
    return msgspec.structs.replace(entry, hash=entry_hash(entry))


def follows(last: AuditEntry | None, entry: AuditEntry) -> bool:
    """Whether an entry is whole and stands right behind `last`."""
    return (
        entry.sequence == (last.sequence + 1 if last else 1)
        and entry.previous_hash == (last.hash if last else FIRST_PREVIOUS_HASH)
        and entry.hash == entry_hash(entry)
    )
