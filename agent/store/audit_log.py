"""The audit as a whole: whether it holds, whether a hash that was published once still stands in it, and its retention.

Old entries go only behind a checkpoint: an entry that says up to where the log was cut and which hash stood there, so
that the chain can be verified from there on.
"""

from collections.abc import Iterator

import msgspec
from sqlalchemy import Connection, delete

from agent.store import chain, documents
from agent.store.journal import ACTOR, Transactions
from agent.store.tables import audit
from agent.store.tables.audit import AUDIT
from policies.model import AuditEntry

CHECKPOINT = "checkpoint"
FEWEST = 1_000
"""A checkpoint that would let go of fewer entries is not worth one."""
_PAGE = 1_000


class AuditCheck(msgspec.Struct, frozen=True):
    """What verifying found."""

    broken_at: int | None
    """Sequence of the first entry that is missing or not what was written; None: the chain is whole."""
    head: str
    """Hash of the newest entry; empty where there is none."""
    sequence: int
    """Of the newest entry; 0 where there is none."""
    first: int
    """Sequence of the oldest entry that is kept; those before it went behind a checkpoint."""
    head_problem: str = ""
    """Why the hash that was asked about is not in this chain; empty where it is, or none was asked about."""
    head_at: int | None = None
    """Sequence of the entry that bears the hash that was asked about."""

    @property
    def holds(self) -> bool:
        """Nothing is wrong."""
        return self.broken_at is None and not self.head_problem


class AuditLog:
    """Over one store. Raises what the store raises."""

    def __init__(self, store: Transactions) -> None:
        self._store = store

    def check(self, head: str = "", sequence: int | None = None) -> AuditCheck:
        """Verify every entry. `head`: a hash that was published; `sequence`: of its entry, where that is known."""
        with self._store.reading() as connection:
            broken = audit.first_broken(connection)
            oldest, newest = audit.in_order(connection, 1), audit.newest_first(connection, 1)
            problem, at = _find(connection, head, sequence, newest[0] if newest else None) if head else ("", None)
        return AuditCheck(
            broken_at=broken,
            head=newest[0].hash if newest else "",
            sequence=newest[0].sequence if newest else 0,
            first=oldest[0].sequence if oldest else 1,
            head_problem=problem,
            head_at=at,
        )

    def entries(self, after: int = 0) -> Iterator[AuditEntry]:
        """All behind a sequence number, in their order, a page at a time: however many, they never lie in memory."""
        while True:
            with self._store.reading() as connection:
                page = audit.in_order(connection, _PAGE, after)
            if not page:
                return
            yield from page
            after = page[-1].sequence

    def checkpoint(self, before_ns: int, now_ns: int, *, fewest: int = FEWEST) -> int:
        """Let go of what is older than `before_ns`, behind a checkpoint; how many entries went.

        Nothing goes where the chain up to there is broken: that must stay to be seen.
        """

        def work(connection: Connection) -> int:
            oldest = audit.in_order(connection, 1)
            last = audit.last_before(connection, before_ns)
            if not oldest or last is None or last.sequence - oldest[0].sequence + 1 < fewest:
                return 0
            broken = audit.first_broken(connection)
            if broken is not None and broken <= last.sequence:
                return 0
            count = last.sequence - oldest[0].sequence + 1
            detail = {
                "title": f"{count:,} entries up to number {last.sequence:,} were let go of",
                "upto": last.sequence,
                "hash": last.hash,
                "entries": count,
            }
            audit.append(
                connection,
                time_ns=now_ns,
                actor=ACTOR,
                what=CHECKPOINT,
                about="audit",
                detail=documents.encode(detail),
            )
            connection.execute(delete(AUDIT).where(AUDIT.c.sequence <= last.sequence))
            return count

        return self._store.transact(work)


def _find(connection: Connection, head: str, sequence: int | None, newest: AuditEntry | None) -> tuple[str, int | None]:
    """Where a published hash stands; or why it does not."""
    found = audit.by_hash(connection, head)
    if found is not None:
        if sequence is not None and found.sequence != sequence:
            return f"the hash stands at entry {found.sequence}, it was published as that of entry {sequence}", None
        return "", found.sequence
    upto = chain.checkpoint_of(audit.checkpoints(connection))
    if upto is not None and head == upto[1]:
        return "", upto[0]
    if sequence is None:
        return "no entry bears this hash: the chain was rewritten, or cut off before that entry", None
    if upto is not None and sequence < upto[0]:
        return f"entry {sequence} went behind the checkpoint at {upto[0]}: compare with a newer hash", None
    if newest is None or newest.sequence < sequence:
        last = newest.sequence if newest is not None else 0
        return f"the chain ends at entry {last}, the hash was that of entry {sequence}: its end was cut off", None
    return f"entry {sequence} bears another hash: the chain was rewritten at or before it", None
