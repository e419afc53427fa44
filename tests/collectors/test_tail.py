"""Following log files: growth, rotation, truncation, partial and endless lines, many files."""

import json
import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.model import Event, EventKind, EventSource, Subject, SubjectKind
from collectors.tail import MAX_LINE_BYTES, LogTail, Position

SECOND = 1_000_000_000


class Follower:
    """A tail whose lines are kept, polled by a clock of its own that is a scan interval further each time."""

    def __init__(self, pattern: Path | str, remembered: dict[str, Position] | None = None, from_start: bool = False):
        self.lines: list[str] = []
        self.paths: list[str] = []
        self.tail = LogTail(str(pattern), self._on_line, remembered, from_start=from_start)
        self._now_ns = 0

    def _on_line(self, path: str, line: bytes, now_ns: int) -> list[Event]:
        self.paths.append(path)
        self.lines.append(line.decode())
        return []

    def poll(self) -> list[str]:
        self.lines.clear()
        self._now_ns += 2 * SECOND
        self.tail.poll(self._now_ns)
        return list(self.lines)


@pytest.fixture
def follow():
    followers: list[Follower] = []

    def begin(*args, **kwargs) -> Follower:
        followers.append(Follower(*args, **kwargs))
        return followers[-1]

    yield begin
    for follower in followers:
        follower.tail.close()


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "a.log"
    path.write_text("old\n")
    return path


def test_what_is_there_at_the_first_look_is_not_told(log: Path, follow):
    follower = follow(log)

    assert follower.poll() == []
    append(log, "new\nnewer\n")
    assert follower.poll() == ["new", "newer"]
    assert follower.poll() == []


def test_it_can_begin_at_the_start(log: Path, follow):
    assert follow(log, from_start=True).poll() == ["old"]


def test_a_file_that_comes_later_is_read_from_its_start(tmp_path: Path, follow):
    follower = follow(tmp_path / "*.log")
    follower.poll()
    (tmp_path / "late.log").write_text("first\n")

    assert follower.poll() == ["first"]


def test_a_partial_line_waits_until_it_is_complete(log: Path, follow):
    follower = follow(log)
    follower.poll()

    append(log, "one li")
    assert follower.poll() == []
    append(log, "ne\r\ntwo")
    assert follower.poll() == ["one line"]


def test_a_rotated_file_is_read_to_its_end_and_the_new_one_from_its_start(log: Path, follow):
    follower = follow(log)
    follower.poll()
    append(log, "last of the old\npartial")
    log.rename(log.with_suffix(".log.1"))
    log.write_text("first of the new\n")

    assert follower.poll() == ["last of the old", "partial", "first of the new"]
    assert follower.tail.counters.rotations == 1


def test_a_rotated_file_that_matches_the_pattern_too_is_not_told_twice(log: Path, tmp_path: Path, follow):
    follower = follow(tmp_path / "a.log*")
    follower.poll()
    append(log, "before\n")
    assert follower.poll() == ["before"]
    log.rename(tmp_path / "a.log.1")
    log.write_text("after\n")

    assert follower.poll() == ["after"]
    assert follower.poll() == []
    append(tmp_path / "a.log.1", "late word\n")
    assert follower.poll() == ["late word"]


def test_one_file_under_two_names_is_read_once(log: Path, tmp_path: Path, follow):
    (tmp_path / "b.log").symlink_to(log)
    follower = follow(tmp_path / "*.log")
    follower.poll()
    append(log, "once\n")

    assert follower.poll() == ["once"]


def test_a_truncated_file_is_read_anew(log: Path, follow):
    append(log, "much that was here before\n")
    follower = follow(log)
    follower.poll()
    log.write_text("anew\n")

    assert follower.poll() == ["anew"]
    assert follower.tail.counters.truncations == 1


def test_a_file_rewritten_in_place_to_a_greater_size_is_read_anew(log: Path, follow):
    follower = follow(log, from_start=True)
    follower.poll()
    with log.open("r+") as file:  # copytruncate, and the writer has written more since than there was
        file.truncate(0)
        file.write("quite another beginning\nand more\n")

    assert follower.poll() == ["quite another beginning", "and more"]
    assert follower.tail.counters.truncations == 1


def test_a_file_that_vanishes_gives_its_last_line_and_is_read_again_when_it_is_back(log: Path, follow):
    follower = follow(log)
    follower.poll()
    append(log, "whole\nlast words")
    log.unlink()

    assert follower.poll() == ["whole", "last words"]
    log.write_text("back\n")
    assert follower.poll() == ["back"]


def test_a_line_over_the_limit_is_cut_and_the_rest_counted(log: Path, follow):
    follower = follow(log)
    follower.poll()
    append(log, "x" * (MAX_LINE_BYTES + 1000))
    assert follower.poll() == []
    append(log, "y" * 500 + "\nnext\n")

    assert follower.poll() == ["x" * MAX_LINE_BYTES, "next"]
    counters = follower.tail.counters
    assert (counters.cut_lines, counters.dropped_bytes, counters.truncations) == (1, 1500, 0)
    append(log, "after\n")
    assert follower.poll() == ["after"]


def test_a_progress_bar_without_line_breaks_is_told_by_its_carriage_returns(log: Path, follow):
    follower = follow(log)
    follower.poll()
    bar = "\r 1%|#   | 10/1752 [00:29<1:22:01,  2.83s/it]"
    append(log, bar * 3000 + "\r{'loss': 1.0}\n")

    told = follower.poll()

    assert told[-1].endswith("{'loss': 1.0}")
    assert follower.tail.counters.dropped_bytes == 0
    assert max(map(len, told)) <= MAX_LINE_BYTES


def test_a_flood_is_read_in_pieces_over_several_polls(log: Path, follow):
    follower = follow(log)
    follower.poll()
    append(log, ("z" * 99 + "\n") * 30_000)

    counts = [len(follower.poll()) for _ in range(5)]

    assert sum(counts) == 30_000
    assert counts[0] < 30_000


def test_a_tail_resumes_behind_the_last_whole_line(log: Path, follow):
    first = follow(log)
    first.poll()
    append(log, "told\nhalf a")
    first.poll()
    saved = msgspec.json.decode(msgspec.json.encode(first.tail.positions()), type=dict[str, Position])
    append(log, " line\nwritten while away\n")

    assert follow(log, saved).poll() == ["half a line", "written while away"]


def test_positions_can_be_saved_as_json(log: Path, follow):
    follower = follow(log)
    follower.poll()

    assert set(json.loads(msgspec.json.encode(follower.tail.positions()))) == {str(log)}


def test_a_remembered_file_that_was_replaced_while_away_is_read_from_its_start(log: Path, follow):
    first = follow(log)
    first.poll()
    log.rename(log.with_suffix(".1"))
    log.write_text("all new\n")

    assert follow(log, first.tail.positions()).poll() == ["all new"]


def test_a_remembered_file_that_was_rewritten_in_place_is_read_from_its_start(log: Path, follow):
    first = follow(log, from_start=True)
    first.poll()
    log.write_text("rewritten and longer\n")

    assert follow(log, first.tail.positions()).poll() == ["rewritten and longer"]


def test_a_pipe_in_a_files_place_does_not_hold_the_tail(tmp_path: Path, follow):
    os.mkfifo(tmp_path / "a.log")

    assert follow(tmp_path / "*.log").poll() == []


def test_many_files_are_followed_at_once_each_under_its_name(tmp_path: Path, follow):
    paths = [tmp_path / f"{number}.log" for number in range(200)]
    for path in paths:
        path.touch()
    follower = follow(tmp_path / "*.log")
    follower.poll()
    for path in paths:
        append(path, f"{path.name}\n")

    assert sorted(follower.poll()) == sorted(path.name for path in paths)
    assert {Path(path).name for path in follower.paths} == {path.name for path in paths}


def test_the_events_of_the_lines_come_back_in_order(log: Path):
    def on_line(path: str, line: bytes, now_ns: int) -> list[Event]:
        job = Subject("prod", SubjectKind.JOB, "job-1")
        return [Event(EventKind.TRACEBACK, job, now_ns, EventSource.TRAINING_LOG, line=line.decode())]

    tail = LogTail(str(log), on_line, from_start=True)
    append(log, "second\n")

    assert [(event.line, event.time_ns) for event in tail.poll(7)] == [("old", 7), ("second", 7)]
    tail.close()


WRITES = st.lists(st.binary(max_size=40).map(lambda data: data.replace(b"\r", b"")), max_size=12)


@settings(max_examples=60, deadline=None)
@given(writes=WRITES, restart_after=st.integers(0, 12))
def test_however_it_is_written_and_wherever_the_tail_restarts_every_line_is_told_once(
    tmp_path_factory, writes, restart_after
):
    path = tmp_path_factory.mktemp("tail") / "a.log"
    path.touch()
    told: list[bytes] = []

    def on_line(path: str, line: bytes, now_ns: int) -> list[Event]:
        told.append(line)
        return []

    tail = LogTail(str(path), on_line, from_start=True)
    tail.poll(0)
    for number, data in enumerate([*writes, b"\n"], 1):
        with path.open("ab") as file:
            file.write(data)
        tail.poll(number * 2 * SECOND)
        if number == restart_after:
            saved = tail.positions()
            tail.close()
            tail = LogTail(str(path), on_line, saved)
    tail.poll(100 * SECOND)
    tail.close()

    assert told == [line for line in b"".join(writes).split(b"\n") if line]
