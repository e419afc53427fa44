"""Full spool, full disk: bounded, the oldest readings go first, and everything is counted."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sending_helpers import FakeClock, FakeDisk, batch_of, drain, numbers

from collectors.sending.spool import RETRY_DISK_SECONDS, Spool

SMALL = 128 * 1024


@pytest.fixture
def spool(tmp_path: Path, disk: FakeDisk, clock: FakeClock) -> Iterator[Spool]:
    made = Spool(
        tmp_path / "spool", max_bytes=SMALL, memory_bytes=8_192, monotonic=clock, write=disk.write, segment_bytes=8_192
    )
    yield made
    made.close()


def test_a_full_spool_stays_within_its_bound_and_drops_the_oldest(spool: Spool) -> None:
    for i in range(500):
        spool.append(batch_of(i, ballast=1_000))
        assert spool.used_bytes <= SMALL
    arrived = numbers(drain(spool))
    assert list(range(500 - len(arrived), 500)) == arrived
    assert len(arrived) > 80
    assert {"full": 500 - len(arrived)} == dict(spool.take_losses())


def test_events_outlive_readings(spool: Spool) -> None:
    for i in range(500):
        if i % 50 == 0:
            spool.append(batch_of(i, readings=False, events=1))
        else:
            spool.append(batch_of(i, ballast=1_000))
    arrived = numbers(drain(spool))
    assert {0, 50, 100, 150, 200, 250, 300, 350, 400, 450} <= set(arrived)
    assert sorted(arrived) == arrived
    assert 1 not in arrived


def test_a_batch_with_both_loses_its_readings_and_keeps_its_events(spool: Spool) -> None:
    spool.append(batch_of(0, events=1))
    for i in range(1, 300):
        spool.append(batch_of(i, ballast=1_000))
    first = drain(spool)[0]
    assert first.sent_ns == 0
    assert first.events
    assert not first.tables
    assert spool.take_losses()["readings_dropped"] == 1


def test_where_all_are_events_the_oldest_go(spool: Spool) -> None:
    for i in range(300):
        spool.append(batch_of(i, readings=False, events=1, ballast=1_000))
        assert spool.used_bytes <= SMALL
    arrived = numbers(drain(spool))
    assert list(range(300 - len(arrived), 300)) == arrived
    assert {"full": 300 - len(arrived)} == dict(spool.take_losses())


def test_dropping_what_is_under_way_does_no_harm(spool: Spool) -> None:
    spool.append(batch_of(0, ballast=1_000))
    under_way = spool.oldest()
    assert under_way is not None
    for i in range(1, 300):
        spool.append(batch_of(i, ballast=1_000))
    spool.acknowledge(under_way)
    arrived = numbers(drain(spool))
    assert list(range(300 - len(arrived), 300)) == arrived


def test_stripping_what_is_under_way_lets_its_acknowledgement_count(spool: Spool) -> None:
    spool.append(batch_of(0, events=1))
    under_way = spool.oldest()
    assert under_way is not None
    for i in range(1, 300):
        spool.append(batch_of(i, ballast=1_000))
    spool.acknowledge(under_way)
    assert 0 not in numbers(drain(spool))


def test_a_full_disk_is_bridged_in_memory_under_another_id(spool: Spool, disk: FakeDisk, clock: FakeClock) -> None:
    on_disk = [spool.append(batch_of(i)) for i in range(3)]
    disk.room = 10  # the next record tears
    in_memory = [spool.append(batch_of(i)) for i in range(3, 6)]
    assert not spool.disk_works
    assert {on_disk[0][0]} != {spool_id for spool_id, _ in in_memory}
    disk.room = 10**9
    clock.now += RETRY_DISK_SECONDS
    after = spool.append(batch_of(6))
    assert spool.disk_works
    assert (on_disk[0][0], 3) == after
    assert list(range(7)) == numbers(drain(spool))
    assert dict(spool.take_losses()) == {}


def test_what_waits_in_memory_can_be_sent_from_there(spool: Spool, disk: FakeDisk) -> None:
    spool.append(batch_of(0))
    disk.room = 0
    spool.append(batch_of(1))
    assert numbers(drain(spool)) == [0, 1]
    assert spool.waiting_batches == 0


def test_memory_is_bounded_and_what_it_drops_is_counted(spool: Spool, disk: FakeDisk) -> None:
    disk.room = 0
    spool.append(batch_of(0, readings=False, events=1))
    for i in range(1, 40):
        spool.append(batch_of(i, ballast=1_000))
    arrived = numbers(drain(spool))
    assert arrived[0] == 0
    assert arrived[-1] == 39
    assert {"memory_full": 40 - len(arrived)} == dict(spool.take_losses())


def test_what_was_in_memory_survives_a_restart_once_the_disk_works(
    tmp_path: Path, disk: FakeDisk, clock: FakeClock
) -> None:
    spool = Spool(tmp_path, monotonic=clock, write=disk.write)
    used = {spool.append(batch_of(0))}
    disk.room = 0
    used |= {spool.append(batch_of(i)) for i in range(1, 4)}
    disk.room = 10**9
    spool.close()
    again = Spool(tmp_path)
    new = again.append(batch_of(4))
    assert new not in used
    assert numbers(drain(again)) == [0, 1, 2, 3, 4]
    again.close()


def test_a_disk_that_is_full_from_the_start_is_no_reason_to_stop(
    tmp_path: Path, disk: FakeDisk, clock: FakeClock
) -> None:
    disk.room = 0
    spool = Spool(tmp_path, monotonic=clock, write=disk.write)
    spool.append(batch_of(0))
    disk.room = 10**9
    clock.now += RETRY_DISK_SECONDS
    spool.append(batch_of(1))
    assert spool.disk_works
    assert numbers(drain(spool)) == [0, 1]
    spool.close()


def test_the_log_says_once_when_the_disk_fails_and_once_when_it_works(
    spool: Spool, disk: FakeDisk, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    disk.room = 0
    for i in range(5):
        clock.now += RETRY_DISK_SECONDS
        spool.append(batch_of(i))
    disk.room = 10**9
    clock.now += RETRY_DISK_SECONDS
    spool.append(batch_of(5))
    lines = [record.getMessage().rsplit(": ", 1)[-1] for record in caplog.records]
    assert lines[0].startswith("No space left on device; keeping at most 8192 bytes")
    assert lines[1:] == ["works again"]


def test_sync_is_safe_at_any_time(spool: Spool, disk: FakeDisk) -> None:
    spool.sync()
    spool.append(batch_of(0))
    spool.sync()
    disk.room = 0
    spool.append(batch_of(1))
    spool.sync()
    spool.close()
    spool.sync()
