"""What cannot be kept is counted, and told to the agent as an event."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from sending_helpers import NODE, batch_of, drain

from collectors.collector import Identity
from collectors.model import EventKind, EventSource, Origin
from collectors.sending.delivery import TELL_LOSSES_NS, Delivery
from collectors.sending.endpoint import Endpoint
from collectors.sending.quarantine import Quarantine
from collectors.sending.sender import Sender
from collectors.sending.spool import Spool

NOW_NS = 1_800_000_000_000_000_000


class LossySpool(Spool):
    """A spool that can be made to have lost something."""

    def lose(self, **causes: int) -> None:
        self._untold.update(Counter(causes))


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[LossySpool]:
    made = LossySpool(tmp_path / "spool")
    yield made
    made.close()


@pytest.fixture
def delivery(spool: LossySpool, tmp_path: Path) -> Delivery:
    sender = Sender(spool, Quarantine(tmp_path / "q"), Endpoint.parse("https://agent", tmp_path / "token"))
    identity = Identity("prod", NODE, "node-1", "boot-1", "", Origin.LIVE)
    return Delivery(spool, Quarantine(tmp_path / "q"), sender, identity)


def test_nothing_lost_is_nothing_told(delivery: Delivery, spool: LossySpool) -> None:
    delivery.tell_losses(NOW_NS)
    assert drain(spool) == []


def test_losses_become_one_event_of_this_node(delivery: Delivery, spool: LossySpool) -> None:
    spool.lose(full=5, vanished=2)
    delivery.tell_losses(NOW_NS)
    (batch,) = drain(spool)
    (event,) = batch.events
    assert (event.kind, event.subject, event.source) == (EventKind.SPOOL_LOST, NODE, EventSource.COLLECTOR)
    assert event.values == {"full": 5.0, "vanished": 2.0}
    assert event.attributes == {"detail": "batches: full 5, vanished 2"}
    assert (batch.boot_id, batch.origin, batch.sent_ns) == ("boot-1", Origin.LIVE, NOW_NS)


def test_losses_are_told_at_most_once_a_minute_and_none_is_forgotten(delivery: Delivery, spool: LossySpool) -> None:
    for second in range(120):
        spool.lose(full=1)
        delivery.tell_losses(NOW_NS + second * 10**9)
    delivery.tell_losses(NOW_NS + 2 * TELL_LOSSES_NS)
    told = [event.values["full"] for batch in drain(spool) for event in batch.events]
    assert told == [1.0, 60.0, 59.0]


def test_a_batch_that_cannot_be_encoded_is_counted_and_told(delivery: Delivery, spool: LossySpool) -> None:
    delivery.hand_over(msgspec.structs.replace(batch_of(1), suspicion="\udc80"))
    delivery.hand_over(batch_of(2))
    delivery.tell_losses(NOW_NS)
    kept, told = drain(spool)
    assert kept.sent_ns == 2
    assert told.events[0].values == {"unfit": 1.0}
    assert delivery.dropped == 1
