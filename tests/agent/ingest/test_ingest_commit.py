"""Group commit: durable before it is said to be, in order, and never half."""

import asyncio
from pathlib import Path

import pytest
from ingest_batches import Clock, batch_of
from test_ingest_log import files_of_at_most

from agent.ingest.commit import LONGEST_WINDOW_SECONDS, Entry, GroupCommit
from agent.ingest.log import IngestLog
from collectors.errors import RetryLater


def test_many_batches_share_a_flush(tmp_path: Path) -> None:
    async def scenario() -> tuple[int, list[bytes]]:
        log = IngestLog(tmp_path)
        commit = GroupCommit(log, Clock(), lambda _: None)
        entries = [commit.submit(batch_of(sequence=n), b"%d" % n) for n in range(50)]
        await asyncio.gather(*(entry.done for entry in entries))
        await commit.close()
        return commit.groups, [record.body for record in log.read_from()]

    assert asyncio.run(scenario()) == (1, [b"%d" % n for n in range(50)])


def test_what_is_answered_is_on_disk_and_was_handed_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        log = IngestLog(tmp_path)
        handed: list[Entry] = []
        commit = GroupCommit(log, Clock(), handed.extend, window_seconds=0)
        for n in range(5):
            entry = commit.submit(batch_of(sequence=n), b"%d" % n)
            await entry.done
            assert handed[-1] is entry
            assert [record.body for record in IngestLog(tmp_path).read_from()][-1] == b"%d" % n
            assert entry.end == log.end
        await commit.close()

    asyncio.run(scenario())


def test_stamps_never_run_backwards_though_the_clock_does(tmp_path: Path) -> None:
    async def scenario() -> list[int]:
        clock = Clock(1000)
        commit = GroupCommit(IngestLog(tmp_path), clock, lambda _: None)
        stamps = []
        for now in (1000, 900, 1100, 5):
            clock.now_ns = now
            stamps.append(commit.submit(batch_of(), b"x").received_ns)
        await commit.close()
        return stamps

    assert asyncio.run(scenario()) == [1000, 1000, 1100, 1100]
    clock = Clock(3)

    async def after_a_restart() -> int:
        commit = GroupCommit(IngestLog(tmp_path), clock, lambda _: None)
        stamp = commit.submit(batch_of(), b"x").received_ns
        await commit.close()
        return stamp

    assert asyncio.run(after_a_restart()) == 1100


def test_time_is_settled_only_up_to_what_is_still_under_way(tmp_path: Path) -> None:
    async def scenario() -> None:
        clock = Clock(1000)
        commit = GroupCommit(IngestLog(tmp_path), clock, lambda _: None)
        assert commit.settled_ns() == 1000
        entry = commit.submit(batch_of(), b"x")
        clock.now_ns = 2000
        assert commit.settled_ns() == 1000
        await entry.done
        await asyncio.sleep(0)
        assert commit.settled_ns() == 2000
        clock.now_ns = 1500
        assert commit.submit(batch_of(), b"y").received_ns == 2000
        await commit.close()

    asyncio.run(scenario())


def test_a_full_disk_is_told_to_everyone_in_the_group_and_the_next_group_goes_on(tmp_path: Path) -> None:
    async def scenario() -> list[bytes]:
        log = IngestLog(tmp_path)
        handed: list[Entry] = []
        commit = GroupCommit(log, Clock(), handed.extend)
        with files_of_at_most(100):
            entries = [commit.submit(batch_of(sequence=n), b"x" * 100) for n in range(3)]
            said = await asyncio.gather(*(entry.done for entry in entries), return_exceptions=True)
        assert [type(error) for error in said] == [RetryLater] * 3
        assert handed == []
        await commit.submit(batch_of(), b"after").done
        await commit.close()
        return [record.body for record in log.read_from()]

    assert asyncio.run(scenario()) == [b"after"]


def test_closing_commits_what_is_in_line(tmp_path: Path) -> None:
    async def scenario() -> int:
        log = IngestLog(tmp_path)
        commit = GroupCommit(log, Clock(), lambda _: None, window_seconds=LONGEST_WINDOW_SECONDS)
        entry = commit.submit(batch_of(), b"x")
        await commit.close()
        assert entry.done.done()
        return len(list(log.read_from()))

    assert asyncio.run(scenario()) == 1


def test_the_window_cannot_be_made_longer_than_what_is_promised(tmp_path: Path) -> None:
    async def scenario() -> float:
        commit = GroupCommit(IngestLog(tmp_path), Clock(), lambda _: None, window_seconds=60)
        loop = asyncio.get_running_loop()
        began = loop.time()
        await commit.submit(batch_of(), b"x").done
        await commit.close()
        return loop.time() - began

    assert asyncio.run(scenario()) < 30


def test_whoever_hangs_up_does_not_take_the_batch_with_them(tmp_path: Path) -> None:
    async def scenario() -> list[bytes]:
        log = IngestLog(tmp_path)
        handed: list[Entry] = []
        commit = GroupCommit(log, Clock(), handed.extend)
        entry = commit.submit(batch_of(), b"x")
        entry.done.cancel()
        await commit.close()
        assert [other.body for other in handed] == [b"x"]
        return [record.body for record in log.read_from()]

    assert asyncio.run(scenario()) == [b"x"]


@pytest.mark.parametrize("groups", [1, 7])
def test_batches_are_handed_on_in_the_order_of_the_log(tmp_path: Path, groups: int) -> None:
    async def scenario() -> tuple[list[int], list[int]]:
        log = IngestLog(tmp_path)
        handed: list[Entry] = []
        commit = GroupCommit(log, Clock(), handed.extend, window_seconds=0)
        for group in range(groups):
            entries = [commit.submit(batch_of(sequence=group * 10 + n), b"%d" % (group * 10 + n)) for n in range(10)]
            await asyncio.wait([entries[0].done])
        await commit.close()
        return [entry.batch.sequence for entry in handed], [int(record.body) for record in log.read_from()]

    handed, logged = asyncio.run(scenario())
    assert handed == logged == list(range(groups * 10))
