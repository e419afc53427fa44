"""The ingest log keeps what it said it kept, through torn ends, full disks and rot."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.ingest.log import MAGIC, IngestLog
from collectors.errors import FixConfiguration, RetryLater


def contents(log: IngestLog, position: int = 0) -> list[tuple[int, bytes]]:
    return [(record.received_ns, record.body) for record in log.read_from(position)]


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.log"))


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Every write beyond `size` bytes fails, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_was_appended_is_read_back_in_order(tmp_path: Path) -> None:
    log = IngestLog(tmp_path)
    log.append([(1, b"one"), (2, b""), (3, b"three" * 1000)])
    log.append([(4, b"four")])

    assert contents(log) == [(1, b"one"), (2, b""), (3, b"three" * 1000), (4, b"four")]
    log.close()
    assert contents(IngestLog(tmp_path)) == contents(log)


@given(st.lists(st.binary(max_size=60), min_size=1, max_size=12), st.data())
def test_single_records_are_read_where_they_lie(
    tmp_path_factory: pytest.TempPathFactory, bodies: list[bytes], data: st.DataObject
) -> None:
    log = IngestLog(tmp_path_factory.mktemp("at"), segment_bytes=100)
    for n, body in enumerate(bodies):
        log.append([(n, body)])
    records = list(log.read_from(0))
    wanted = sorted(data.draw(st.sets(st.sampled_from(records))), key=lambda one: one.position)

    assert list(log.read_at(one.position for one in wanted)) == wanted
    log.close()


@given(st.lists(st.integers(0, 50), min_size=1, max_size=20).map(sorted), st.integers(-5, 60))
def test_reading_from_before_a_time_misses_nothing_of_it_and_little_else(
    tmp_path_factory: pytest.TempPathFactory, times: list[int], since: int
) -> None:
    log = IngestLog(tmp_path_factory.mktemp("since"), segment_bytes=100)
    for time in times:
        log.append([(time, b"x" * 20)])
    read = [record.received_ns for record in log.read_from(log.position_before(since))]
    wanted = [time for time in times if time >= since]

    assert read[len(read) - len(wanted) :] == wanted
    assert len(read) - len(wanted) <= 3  # of one segment
    log.close()


def test_single_records_that_are_gone_or_rotten_are_passed_over(tmp_path: Path) -> None:
    log = IngestLog(tmp_path, segment_bytes=100)
    for n in range(4):
        log.append([(n, b"x" * 60)])
    positions = [record.position for record in log.read_from(0)]
    first, second, *_ = segments(tmp_path)
    first.unlink()
    second.write_bytes(second.read_bytes()[:-1] + b"y")

    assert [record.received_ns for record in log.read_at([*positions, positions[-1] + 10_000])] == [2, 3]
    log.close()


def test_reading_begins_at_a_position_that_append_gave(tmp_path: Path) -> None:
    log = IngestLog(tmp_path, segment_bytes=100)
    ends = log.append([(n, b"x" * 40) for n in range(3)])
    ends += log.append([(n, b"x" * 40) for n in range(3, 6)])

    assert [[time for time, _ in contents(log, end)] for end in ends] == [list(range(n, 6)) for n in range(1, 7)]


@given(data=st.data())
def test_a_torn_end_costs_only_what_was_not_promised(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("log")
    log = IngestLog(folder)
    bodies = data.draw(st.lists(st.binary(max_size=50), min_size=1, max_size=8))
    ends = log.append([(n, body) for n, body in enumerate(bodies)])
    log.close()
    file = segments(folder)[-1]
    whole = file.read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    file.write_bytes(whole[:cut])

    reopened = IngestLog(folder)

    kept = [n for n, end in enumerate(ends) if end <= cut]
    assert [time for time, _ in contents(reopened)] == kept
    reopened.append([(99, b"after")])
    reopened.close()
    assert [time for time, _ in contents(IngestLog(folder))] == [*kept, 99]


@given(garbage=st.binary(min_size=1, max_size=200))
def test_garbage_behind_the_end_is_cut_off(tmp_path_factory: pytest.TempPathFactory, garbage: bytes) -> None:
    folder = tmp_path_factory.mktemp("log")
    log = IngestLog(folder)
    log.append([(1, b"good")])
    log.close()
    with segments(folder)[-1].open("ab") as file:
        file.write(garbage)

    reopened = IngestLog(folder)

    assert contents(reopened) == [(1, b"good")]
    assert reopened.torn_bytes == len(garbage)


def test_one_rotten_record_does_not_take_the_good_ones_behind_it(tmp_path: Path) -> None:
    log = IngestLog(tmp_path)
    ends = log.append([(1, b"a" * 100), (2, b"b" * 100), (3, b"c" * 100)])
    log.close()
    file = segments(tmp_path)[0]
    rotten = bytearray(file.read_bytes())
    rotten[ends[0] + 50] ^= 0xFF
    file.write_bytes(rotten)

    assert [time for time, _ in contents(IngestLog(tmp_path))] == [1, 3]


def test_a_full_disk_takes_in_nothing_of_the_group_and_the_log_goes_on_afterwards(tmp_path: Path) -> None:
    log = IngestLog(tmp_path)
    log.append([(1, b"before")])
    with files_of_at_most(2048), pytest.raises(RetryLater, match="nothing was taken in"):
        log.append([(2, b"small"), (3, b"x" * 10_000)])

    log.append([(4, b"after")])

    assert contents(log) == [(1, b"before"), (4, b"after")]
    log.close()
    assert contents(IngestLog(tmp_path)) == [(1, b"before"), (4, b"after")]


def test_a_disk_that_is_full_from_the_start_leaves_nothing_behind(tmp_path: Path) -> None:
    log = IngestLog(tmp_path)
    with files_of_at_most(0), pytest.raises(RetryLater):
        log.append([(1, b"x")])
    with files_of_at_most(20), pytest.raises(RetryLater):
        log.append([(2, b"x" * 100)])

    log.append([(3, b"room again")])

    assert contents(log) == [(3, b"room again")]
    log.close()
    assert contents(IngestLog(tmp_path)) == [(3, b"room again")]


def test_only_whole_segments_that_are_old_and_checkpointed_are_deleted(tmp_path: Path) -> None:
    log = IngestLog(tmp_path, segment_bytes=150)
    ends = [log.append([(n * 10, b"x" * 100)])[0] for n in range(1, 6)]
    assert len(segments(tmp_path)) == 5

    assert log.prune(before_position=ends[-1], before_ns=0) == 0
    assert log.prune(before_position=0, before_ns=1_000) == 0
    assert log.prune(before_position=ends[1], before_ns=1_000) > 0
    assert [time for time, _ in contents(log)] == [30, 40, 50]
    log.prune(before_position=ends[-1], before_ns=45)
    assert [time for time, _ in contents(log)] == [40, 50]
    log.prune(before_position=ends[-1], before_ns=1_000)
    assert [time for time, _ in contents(log)] == [50]


def test_positions_go_on_growing_after_deleting_and_reopening(tmp_path: Path) -> None:
    log = IngestLog(tmp_path, segment_bytes=150)
    ends = [log.append([(n, b"x" * 100)])[0] for n in range(1, 4)]
    log.prune(ends[-1], 1_000)
    log.close()

    reopened = IngestLog(tmp_path, segment_bytes=150)

    assert (reopened.end, reopened.last_received_ns) == (ends[-1], 3)
    assert reopened.append([(4, b"y")])[0] > ends[-1]


def test_the_newest_time_is_known_also_when_the_last_segment_is_empty(tmp_path: Path) -> None:
    log = IngestLog(tmp_path)
    end = log.append([(7, b"x")])[0]
    log.close()
    (tmp_path / f"{end:020d}.log").write_bytes(MAGIC)

    assert IngestLog(tmp_path).last_received_ns == 7


@pytest.mark.parametrize("left", [b"", MAGIC[:3]], ids=["empty", "half-magic"])
def test_a_segment_that_died_at_birth_is_removed(tmp_path: Path, left: bytes) -> None:
    log = IngestLog(tmp_path)
    end = log.append([(7, b"x")])[0]
    log.close()
    (tmp_path / f"{end:020d}.log").write_bytes(left)

    reopened = IngestLog(tmp_path)
    reopened.append([(8, b"y")])

    assert contents(reopened) == [(7, b"x"), (8, b"y")]


def test_a_file_of_another_version_stops_the_start_and_stays_untouched(tmp_path: Path) -> None:
    foreign = tmp_path / f"{0:020d}.log"
    foreign.write_bytes(b"WSLOG\x00\x00\x09" + b"something")

    with pytest.raises(FixConfiguration, match="not written by this version"):
        IngestLog(tmp_path)
    assert foreign.read_bytes() == b"WSLOG\x00\x00\x09" + b"something"


def test_a_folder_that_cannot_be_made_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(FixConfiguration, match="may write"):
        IngestLog(tmp_path / "file" / "log")
