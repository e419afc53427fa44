"""Lines of recorded logs with the times at which they were written."""

from pathlib import Path

import pytest

from collectors.recording.log_lines import read_kernel_lines, read_log_lines

RECORDINGS = Path(__file__).parents[3] / "recordings"
SECOND = 1_000_000_000
START_NS = 1_795_332_738_000_000_000  # 2026-11-22T07:32:18Z


def test_all_logs_of_a_real_recording_come_in_order_of_time():
    lines = read_log_lines(RECORDINGS / "h200-ddp", START_NS)

    assert len(lines) == 1290 + 9 + 1
    assert [time_ns for time_ns, _ in lines] == sorted(time_ns for time_ns, _ in lines)


def test_a_stderr_line_has_its_glog_time_in_the_year_of_the_start():
    lines = read_log_lines(RECORDINGS / "h200-ddp" / "rank0.stderr.log", START_NS)

    [time_ns] = [time_ns for time_ns, line in lines if b"Watchdog caught" in line]
    assert time_ns == 1_795_333_206_105_032_424
    assert lines[0] == (START_NS, b"NCCL version 2.28.9+cuda13.0")


def test_steps_of_a_real_recording_stay_in_order_though_its_writer_forgot_to_carry_seconds():
    lines = read_log_lines(RECORDINGS / "h200-training" / "train.log", 0)

    as_written = [line for line in (RECORDINGS / "h200-training" / "train.log").read_bytes().splitlines() if line]
    assert [line for _, line in lines] == as_written


def test_a_line_without_a_time_has_that_of_the_line_before_it(tmp_path: Path):
    (tmp_path / "train.log").write_bytes(b"no time yet\n2026-11-22T07:32:28Z a\nb\n\n2026-11-22T07:32:30Z c\r\n")

    assert read_log_lines(tmp_path, START_NS) == [
        (START_NS, b"no time yet"),
        (START_NS + 10 * SECOND, b"2026-11-22T07:32:28Z a"),
        (START_NS + 10 * SECOND, b"b"),
        (START_NS + 12 * SECOND, b"2026-11-22T07:32:30Z c"),
    ]


def test_lines_of_one_time_stay_in_their_order_train_log_first(tmp_path: Path):
    stamp = b"2026-11-22T07:32:28Z "
    (tmp_path / "train.log").write_bytes(stamp + b"1\n" + stamp + b"2\n")
    (tmp_path / "rank0.stderr.log").write_bytes(stamp + b"3\n")

    assert [line[-1:] for _, line in read_log_lines(tmp_path, 0)] == [b"1", b"2", b"3"]


@pytest.mark.parametrize(
    ("start_ns", "line", "expected_ns"),
    [
        pytest.param(1_798_761_540 * SECOND, b"[E0101 00:01:00.000000000 x] y", 1_798_761_660 * SECOND, id="new-year"),
        pytest.param(1_798_761_660 * SECOND, b"[E1231 23:59:00.000000000 x] y", 1_798_761_540 * SECOND, id="old-year"),
    ],
)
def test_a_recording_over_new_year_has_the_right_year(tmp_path: Path, start_ns: int, line: bytes, expected_ns: int):
    (tmp_path / "a.stderr.log").write_bytes(line)

    assert read_log_lines(tmp_path, start_ns) == [(expected_ns, line)]


def test_a_kernel_log_is_timed_by_the_boot():
    lines = read_kernel_lines(RECORDINGS / "h200-xid" / "kmsg.txt", 1000 * SECOND)

    assert len(lines) == 10
    assert [time_ns for time_ns, line in lines if b": 43," in line] == [1_027_028_444_000]
