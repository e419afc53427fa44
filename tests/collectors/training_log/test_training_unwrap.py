"""What stands around a line: containers, launchers, terminals, and garbage."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.model import Event, EventKind, Subject, SubjectKind
from collectors.training_log import TrainingLogParser

JOB = Subject("prod", SubjectKind.JOB, "job-1")
SEEN_NS = 1_795_317_164_000_000_000
TIME_NS = 1_795_317_100_250_000_000
STEP = "iter 5: loss 3.5, time 10.00ms, mfu 15.34%"


def parse(*lines: bytes, rank: int | None = None) -> list[Event]:
    parser = TrainingLogParser(JOB, rank)
    return [event for line in lines for event in parser.parse(line, SEEN_NS)]


@pytest.mark.parametrize(
    ("line", "time_ns"),
    [
        pytest.param(f"2026-11-22T03:11:40.25Z {STEP}", TIME_NS, id="rfc3339"),
        pytest.param(f"2026-11-22T04:11:40.25+01:00 {STEP}", TIME_NS, id="rfc3339-zone"),
        pytest.param(f"2026-11-22T03:11:40.250000000Z stdout F {STEP}", TIME_NS, id="cri"),
        pytest.param(f'{{"log":"{STEP}\\n","stream":"stderr","time":"2026-11-22T03:11:40.25Z"}}', TIME_NS, id="docker"),
        pytest.param(f"2026-11-22 03:11:40,250 - root - INFO - {STEP}", TIME_NS, id="own-time-logging"),
        pytest.param(f"[2026-11-22 03:11:40.250] {STEP}", TIME_NS, id="own-time-brackets"),
        pytest.param(f"[rank0]:[I1122 03:11:40.250000000 x.cpp:1] {STEP}", TIME_NS, id="own-time-glog"),
        pytest.param(f"2026-11-22T03:11:40.25Z 2020-01-01 00:00:00,000 {STEP}", TIME_NS, id="container-before-own"),
        pytest.param(f"2026-11-22 09:00:00,000 - {STEP}", SEEN_NS, id="own-time-in-the-future"),
        pytest.param(STEP, SEEN_NS, id="no-time"),
        pytest.param(f"2026-13-45T03:11:40.25Z {STEP}", SEEN_NS, id="no-such-day"),
    ],
)
def test_the_time_is_the_containers_else_the_lines_else_when_it_was_seen(line: str, time_ns: int):
    [event] = parse(line.encode())

    assert event.time_ns == time_ns
    assert event.values == {"step": 5.0, "loss": 3.5, "step_time_seconds": 0.01}


def test_a_second_that_the_writer_forgot_to_carry_is_carried():
    """As the recordings have it: .837 s, then .000 s of the same second."""
    before, after = parse(
        f"2026-11-22T03:14:57.837704Z {STEP}".encode(), f"2026-11-22T03:14:57.000132Z {STEP}".encode()
    )

    assert after.time_ns - before.time_ns == 162_428_000


def test_a_clock_that_was_set_back_is_believed():
    before, after = parse(f"2026-11-22T03:14:57Z {STEP}".encode(), f"2026-11-22T03:10:57Z {STEP}".encode())

    assert after.time_ns - before.time_ns == -240_000_000_000


@pytest.mark.parametrize(
    ("prefix", "rank"),
    [
        pytest.param("[rank3]:", "3", id="torch"),
        pytest.param("[rank3]: ", "3", id="torch-space"),
        pytest.param("[default7]:", None, id="elastic-local-rank-is-no-rank"),
        pytest.param("[default7]:[rank15]:", "15", id="both"),
        pytest.param("[lrdn3321:3]: ", None, id="host-and-task"),
        pytest.param("(TaskRunner pid=16292) ", None, id="ray"),
        pytest.param("(WorkerDict pid=16292, ip=10.0.0.7) ", None, id="ray-ip"),
        pytest.param("12: ", None, id="srun-label"),
        pytest.param("\x1b[36m(main_task pid=1)\x1b[0m ", None, id="ray-colour"),
    ],
)
def test_every_launchers_prefix_is_taken_off_and_names_the_rank_if_it_knows(prefix: str, rank: str | None):
    [event] = parse((prefix + STEP).encode())

    assert event.kind is EventKind.TRAINING_STEP
    assert event.attributes.get("rank") == rank


def test_the_rank_of_the_file_stands_where_the_line_names_none():
    plain, named = parse(STEP.encode(), f"[rank3]:{STEP}".encode(), rank=1)

    assert (plain.attributes["rank"], named.attributes["rank"]) == ("1", "3")


def test_parts_of_a_line_that_cri_has_split_are_put_together_by_stream():
    [event] = parse(
        b"2026-11-22T03:11:40.1Z stdout P iter 5: loss",
        b"2026-11-22T03:11:40.1Z stderr F something else",
        b"2026-11-22T03:11:40.2Z stdout P  3.5, time",
        b"2026-11-22T03:11:40.25Z stdout F  10.00ms, mfu 1%",
    )

    assert (event.values["loss"], event.time_ns) == (3.5, TIME_NS)


def test_a_quoted_xid_in_a_training_log_is_no_event():
    assert parse(b"2026-11-22T03:11:40Z NVRM: Xid (PCI:0000:18:00): 79, pid=1, GPU has fallen off the bus.") == []


def test_evidence_leaves_the_node_masked_printable_and_cut():
    [event] = parse(f"\x1b[31m{STEP} HF_TOKEN=hf_abcdefghijklmnopqrstuv {'x' * 5000}".encode())

    assert "hf_abc" not in event.line
    assert event.line.isprintable()
    assert len(event.line) == 1000


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1", "cp437", "shift_jis"])
def test_other_encodings_never_raise(encoding: str):
    parse("Überprüfung läuft: loss ".encode(encoding, "replace"))


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"{" * 65_000, id="braces"),
        pytest.param(b'{"log":' * 9_000, id="docker-nested"),
        pytest.param(b"iteration 1/ 2 |" * 4_000, id="megatron"),
        pytest.param(b"'loss': 1," * 6_000, id="pairs"),
        pytest.param(b"[rank1]:" * 8_000, id="prefixes"),
        pytest.param(b"step: 1 loss: 1 " * 4_000, id="torchtitan"),
        pytest.param(b"  1%|" * 13_000, id="bars"),
        pytest.param(b"a." * 30_000 + b": x", id="dotted"),
        pytest.param(b"\r" * 65_000, id="carriage-returns"),
        pytest.param(b"x" * 1_000_000, id="megabyte"),
        pytest.param(b"Traceback (most recent call last):" * 1_900, id="tracebacks"),
        pytest.param(b"Watchdog caught collective operation timeout: WorkNCCL(" * 1_000, id="watchdog"),
    ],
)
def test_hostile_lines_are_read_and_give_few_events(line: bytes):
    assert len(parse(b"Traceback (most recent call last):", line, line)) < 10


@settings(deadline=None)
@given(st.lists(st.binary(max_size=200), max_size=8))
def test_garbage_never_raises_and_every_line_is_counted(lines: list[bytes]):
    parser = TrainingLogParser(JOB)

    events = [event for line in lines for event in parser.parse(line, SEEN_NS)]

    assert parser.counters.lines == len(lines)
    assert parser.counters.steps + parser.counters.events == len(events)


PIECES = st.sampled_from(
    [
        "Traceback (most recent call last):",
        "RuntimeError: CUDA error: x",
        "[rank0]:",
        "\r",
        "{'loss': 1.0}",
        "step: 1  loss: nan",
        "saving checkpoint at iteration 5 to /x",
        "  exitcode  : -9 (pid: 1)",
        "2026-11-22T03:11:40Z stdout P ",
        "\x1b[31m",
        "\x00",
        " ",
        "|",
        "é",
    ]
)


@settings(deadline=None)
@given(st.lists(st.lists(PIECES, max_size=6).map("".join), max_size=12))
def test_any_mixture_of_real_pieces_gives_sound_events(lines: list[str]):
    for event in parse(*(line.encode() for line in lines)):
        assert event.subject == JOB
        assert len(event.line) <= 1000
        assert event.line.isprintable()
        assert all(isinstance(value, float) for value in event.values.values())
