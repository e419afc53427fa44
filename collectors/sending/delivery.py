"""Spool, quarantine and sender as one thing: hand over a batch, and it arrives or is counted."""

import logging
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from collectors.collector import Identity
from collectors.errors import GiveUp
from collectors.model import WIRE_VERSION, Batch, Event, EventKind, EventSource
from collectors.sending.endpoint import Endpoint
from collectors.sending.quarantine import Quarantine
from collectors.sending.sender import Sender
from collectors.sending.spool import Spool
from collectors.settings import SpoolSettings

_LOG = logging.getLogger(__name__)

TELL_LOSSES_NS = 60 * 10**9
"""Losses are told at most this often: each telling is a batch of its own."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended."""

    sent: int
    refused: int
    waiting: int


class Delivery:
    """Takes batches, in order, on one thread; sends them on another."""

    def __init__(self, spool: Spool, quarantine: Quarantine, sender: Sender, identity: Identity) -> None:
        """`identity` stands on the batches that tell of losses."""
        self.spool = spool
        self.quarantine = quarantine
        self.sender = sender
        self._identity = identity
        self._untold: Counter[str] = Counter()
        self._next_telling_ns = 0
        self.dropped = 0
        """Batches that could not be encoded or kept at all."""

    @classmethod
    def open(cls, settings: SpoolSettings, directory: Path, endpoint: Endpoint, identity: Identity) -> "Delivery":
        """Open the spool and start to send. Raises FixConfiguration."""
        spool = Spool(directory, max_bytes=settings.max_bytes, memory_bytes=settings.memory_bytes)
        quarantine = Quarantine(directory / "quarantine", max_bytes=settings.quarantine_bytes)
        sender = Sender(spool, quarantine, endpoint)
        sender.start()
        return cls(spool, quarantine, sender, identity)

    def hand_over(self, batch: Batch) -> None:
        """Keep a batch until it has arrived. Never raises for a batch's sake: one that cannot be kept is counted."""
        try:
            self.spool.append(batch)
        except GiveUp as error:
            self.dropped += 1
            self._untold["unfit"] += 1
            _LOG.error("%s", error)
        self.sender.wake()

    def tell_losses(self, now_ns: int) -> None:
        """Send a `spool_lost` event about what was lost since the last one; at most once a minute."""
        if now_ns < self._next_telling_ns:
            return
        self._untold.update(self.spool.take_losses())
        if not self._untold:
            return
        self._next_telling_ns = now_ns + TELL_LOSSES_NS
        lost, self._untold = self._untold, Counter()
        detail = ", ".join(f"{cause} {count}" for cause, count in sorted(lost.items()))
        _LOG.error("spool: lost since last told: %s", detail)
        values = {cause: float(count) for cause, count in lost.items()}
        identity = self._identity
        event = Event(
            EventKind.SPOOL_LOST, identity.node, now_ns, EventSource.COLLECTOR, values, {"detail": f"batches: {detail}"}
        )
        self.hand_over(
            Batch(
                version=WIRE_VERSION,
                origin=identity.origin,
                node=identity.node,
                boot_id=identity.boot_id,
                spool_id="",
                sequence=0,
                sent_ns=now_ns,
                subjects=(),
                events=(event,),
            )
        )

    def finish(self, seconds: float) -> Outcome:
        """Wait until all has arrived, at most so long; then close. What waits stays on the disk for the next start."""
        self.sender.flush(seconds)
        self.sender.stop()
        waiting = self.spool.waiting_batches
        self.spool.close()
        return Outcome(self.sender.counts["sent"], self.quarantine.refused, waiting)
