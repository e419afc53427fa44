"""Whatever happens, in any order: nothing is lost unsaid, nothing overtakes, no number is given out twice."""

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from sending_helpers import FakeClock, FakeDisk, batch_of

from collectors.sending.disk import Waiting
from collectors.sending.spool import RETRY_DISK_SECONDS, Spool
from collectors.wire import decode

BOUND = 100_000


class SpoolMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.disk, self.clock = FakeDisk(), FakeClock()
        self.appended = 0
        self.used: set[tuple[str, int]] = set()
        self.arrived: list[int] = []
        self.lost = 0
        self.under_way: Waiting | None = None
        self.spool = self.open()

    def open(self) -> Spool:
        return Spool(
            self.folder / "spool",
            max_bytes=BOUND,
            memory_bytes=20_000,
            segment_bytes=4_096,
            monotonic=self.clock,
            write=self.disk.write,
        )

    def teardown(self) -> None:
        self.disk.room = 10**12
        self.clock.now += RETRY_DISK_SECONDS
        self.append(1, 0, True, 0)
        while (waiting := self.spool.oldest()) is not None:
            self.arrive(waiting)
        self.count_losses()
        self.spool.close()
        shutil.rmtree(self.folder)
        first_arrivals = list(dict.fromkeys(self.arrived))
        assert sorted(first_arrivals) == first_arrivals, "a batch overtook an older one"
        assert len(set(self.arrived)) + self.lost >= self.appended, "a batch is gone and nobody counted it"

    @rule(
        count=st.integers(1, 8),
        ballast=st.sampled_from([0, 300, 3_000]),
        readings=st.booleans(),
        events=st.integers(0, 2),
    )
    def append(self, count: int, ballast: int, readings: bool, events: int) -> None:
        for _ in range(count):
            given = self.spool.append(batch_of(self.appended, readings=readings, events=events, ballast=ballast))
            assert given not in self.used
            self.used.add(given)
            self.appended += 1

    @rule(count=st.integers(1, 10))
    def send(self, count: int) -> None:
        self.finish_sending()
        for _ in range(count):
            waiting = self.spool.oldest()
            if waiting is not None:
                self.arrive(waiting)

    @rule()
    def begin_sending(self) -> None:
        self.under_way = self.spool.oldest()

    @rule()
    def finish_sending(self) -> None:
        if self.under_way is not None:
            self.arrive(self.under_way)
            self.under_way = None

    @rule(room=st.integers(0, 5_000))
    def fill_disk(self, room: int) -> None:
        self.disk.room = room

    @rule()
    def free_disk(self) -> None:
        self.disk.room = 10**12
        self.clock.now += RETRY_DISK_SECONDS

    @rule()
    def die_and_restart(self) -> None:
        """As kill -9: nothing is written on the way out, so what was in memory is lost."""
        self.under_way = None
        self.count_losses()
        self.lost += len(self.spool._memory)
        if self.spool._disk is not None:
            self.spool._disk.close()
        self.spool = self.open()

    @rule()
    def stop_and_restart(self) -> None:
        self.under_way = None
        self.spool.close()
        self.count_losses()
        self.spool = self.open()

    @rule()
    def somebody_empties_the_folder(self) -> None:
        self.count_losses()
        disk = self.spool._disk
        if disk is None or not self.spool.disk_works:
            return
        waiting = disk.unread
        shutil.rmtree(self.folder / "spool")
        self.append(1, 0, True, 0)
        losses = self.spool.take_losses()
        assert losses["vanished"] == waiting
        self.lost += losses["vanished"] + losses["full"] + losses["memory_full"]

    @invariant()
    def the_bound_holds(self) -> None:
        assert self.spool.used_bytes <= BOUND + 4_096

    def arrive(self, waiting: Waiting) -> None:
        batch = decode(waiting.body)
        assert (waiting.spool_id, waiting.sequence) == (batch.spool_id, batch.sequence)
        assert (batch.spool_id, batch.sequence) in self.used
        self.arrived.append(batch.sent_ns)
        self.spool.acknowledge(waiting)

    def count_losses(self) -> None:
        losses = self.spool.take_losses()
        self.lost += sum(losses[cause] for cause in ("full", "memory_full", "unreadable", "vanished"))


TestSpoolMachine = SpoolMachine.TestCase
TestSpoolMachine.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
