"""Flight-recorder dumps: real ones, hand-made ones, hostile ones."""

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.errors import GiveUp
from collectors.flight_recorder import read_flight_recorder
from collectors.flight_recorder.plain_pickle import loads
from collectors.flight_recorder.reader import MAX_BYTES
from collectors.model import EventKind, EventSource, Subject, SubjectKind

RECORDINGS = Path(__file__).parents[3] / "recordings"
JOB = Subject("prod", SubjectKind.JOB, "job-1")


@pytest.mark.parametrize(
    ("recording", "rank", "world", "sequence", "time_ns"),
    [
        pytest.param("h200-ddp/nccl_trace_rank_0.pickle", 0, 2, 82898, 1_795_333_146_166_243_864, id="ddp"),
        pytest.param("h200-ddp4/nccl_trace_rank_0.pickle", 0, 4, 80667, 1_795_335_626_205_041_571, id="ddp4-rank0"),
        pytest.param("h200-ddp4/nccl_trace_rank_1.pickle", 1, 4, 80667, 1_795_335_626_199_475_067, id="ddp4-rank1"),
    ],
)
def test_a_real_dump_says_which_collective_hangs_and_how_far_the_group_came(
    recording: str, rank: int, world: int, sequence: int, time_ns: int
):
    event = read_flight_recorder(RECORDINGS / recording, JOB)

    assert (event.kind, event.subject, event.source) == (EventKind.FLIGHT_RECORDER, JOB, EventSource.TRAINING_LOG)
    assert event.time_ns == time_ns
    assert event.values == {
        "rank": rank,
        "world_size": world,
        "last_completed_sequence": sequence - 1,
        "last_enqueued_sequence": sequence + 31,
        "last_completed_sequence/0": sequence - 1,
        "last_enqueued_sequence/0": sequence + 31,
        "sequence_number": sequence,
        "waiting_collectives": 32,
        "input_elements": 262_144,
        "output_elements": 262_144,
        "timeout_seconds": 60,
    }
    assert event.attributes == {
        "rank": str(rank),
        "operation": "all_reduce",
        "state": "scheduled",
        "input_sizes": "[[262144]]",
        "output_sizes": "[[262144]]",
        "data_type": "Float",
        "process_group": "0 default_pg",
        "path": str(RECORDINGS / recording),
    }
    assert event.line == f"flight recorder: rank {rank} waits in all_reduce number {sequence}, 32 not completed"


@pytest.mark.parametrize("path", sorted(RECORDINGS.glob("h200-ddp*/*.pickle")), ids=lambda path: path.parent.name)
def test_plain_data_is_read_as_python_reads_it(path: Path):
    data = path.read_bytes()

    assert loads(data) == pickle.loads(data)


def an_entry(**changes: Any) -> dict[str, Any]:
    return {
        "pg_id": 0,
        "process_group": ("0", "default_pg"),
        "collective_seq_id": 7,
        "p2p_seq_id": 3,
        "profiling_name": "nccl:all_gather",
        "time_created_ns": 1000,
        "input_sizes": [[2, 3], [4]],
        "output_sizes": [[6]],
        "input_dtypes": ["BFloat16"],
        "state": "started",
        "time_discovered_started_ns": 1500,
        "time_discovered_completed_ns": None,
        "timeout_ms": 600_000,
        "is_p2p": False,
    } | changes


def a_dump(*entries: Any, **changes: Any) -> dict[str, Any]:
    return {"version": "2.10", "pg_config": {}, "pg_status": {}, "entries": list(entries)} | changes


@pytest.fixture
def written(tmp_path: Path):
    def write(value: Any, name: str = "nccl_trace_rank_3") -> Path:
        path = tmp_path / name
        path.write_bytes(value if isinstance(value, bytes) else pickle.dumps(value, protocol=2))
        return path

    return write


def test_the_collective_that_has_waited_longest_is_the_one_that_hangs(written):
    dump = a_dump(
        an_entry(state="completed", time_created_ns=10),
        an_entry(collective_seq_id=9, time_created_ns=300, pg_id=1),
        an_entry(collective_seq_id=8, time_created_ns=200, pg_id=1),
        pg_status={
            0: {"last_enqueued_collective": 5, "last_completed_collective": 5},
            1: {"last_enqueued_collective": 9, "last_started_collective": -1, "last_completed_collective": 7},
        },
    )

    event = read_flight_recorder(written(dump), JOB)

    assert event.values["sequence_number"] == 8
    assert (event.values["last_enqueued_sequence"], event.values["last_completed_sequence"]) == (9, 7)
    assert event.values["last_enqueued_sequence/0"] == 5
    assert "last_started_sequence" not in event.values
    assert event.values["input_elements"] == 10


def test_a_send_or_receive_is_counted_by_its_own_number(written):
    event = read_flight_recorder(written(a_dump(an_entry(is_p2p=True, profiling_name="nccl:send 0->3"))), JOB)

    assert (event.attributes["operation"], event.values["sequence_number"]) == ("send 0->3", 3)


@pytest.mark.parametrize(
    ("name", "given_rank", "rank"),
    [
        ("nccl_trace_rank_12", None, "12"),
        ("nccl_trace_rank_12.pickle", None, "12"),
        ("dump_5", None, "5"),
        ("dump", None, None),
        ("nccl_trace_rank_12", 4, "4"),
    ],
)
def test_the_rank_is_the_given_one_else_the_files(written, name: str, given_rank: int | None, rank: str | None):
    event = read_flight_recorder(written(a_dump(an_entry()), name), JOB, given_rank)

    assert event.attributes.get("rank") == rank


def test_a_rank_that_waits_for_nothing_says_so(written):
    event = read_flight_recorder(written(a_dump(an_entry(state="completed"))), JOB)

    assert event.values["waiting_collectives"] == 0
    assert "operation" not in event.attributes


def test_an_empty_dump_of_a_rank_that_never_came_is_evidence_and_bears_the_files_time(written):
    """As ranks leave it whose interpreter hangs: nothing enqueued that is not complete."""
    state = {"last_enqueued_collective": 14145, "last_started_collective": -1, "last_completed_collective": 14145}
    path = written(a_dump(pg_status={"0": state}), "dump_9")
    os.utime(path, ns=(5, 1_700_000_000_000_000_123))

    event = read_flight_recorder(path, JOB)

    assert event.time_ns == 1_700_000_000_000_000_123
    assert (event.values["rank"], event.values["waiting_collectives"]) == (9, 0)
    assert event.values["last_enqueued_sequence"] == 14145
    assert event.line == "flight recorder: rank 9 has no collective waiting"


class Evil:
    def __reduce__(self):
        return (os.system, ("echo hacked",))


def nested(depth: int) -> bytes:
    return b"\x80\x02}" + b")" + b"\x85" * depth + b"K\x01s."


HOSTILE = [
    pytest.param(pickle.dumps(Evil()), "more than plain data", id="reduce"),
    pytest.param(pickle.dumps(Evil(), protocol=0), "more than plain data", id="reduce-protocol-0"),
    pytest.param(b"\x80\x02cos\nsystem\n.", "more than plain data", id="global"),
    pytest.param(b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "more than plain data", id="stack-global"),
    pytest.param(pickle.dumps(Path("/")), "more than plain data", id="path-object"),
    pytest.param(b"\x80\x02\x82\x01.", "more than plain data", id="extension"),
    pytest.param(b"\x80\x02Pid\n.", "more than plain data", id="persistent-id"),
    pytest.param(b"\x80\x02}r\xff\xff\xff\xff.", "no dict with a list of entries", id="memo-bomb"),
    pytest.param(b"\x80\x02X\xff\xff\xff\xffabc.", "cut off", id="string-longer-than-the-file"),
    pytest.param(b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7fa.", "cut off", id="string-of-exabytes"),
    pytest.param(b"\x80\x02\x8a\xff" + b"\x01" * 255 + b".", "broken", id="huge-integer"),
    pytest.param(nested(100_000), "broken", id="hash-of-nested-tuples"),
    pytest.param(b"\x80\x02" + b"(" * 1_000_001, "more than 1,000,000 pieces", id="endless"),
    pytest.param(b"\x80\x02(", "cut off", id="no-stop"),
    pytest.param(b"\x80\x02.", "does not end in one value", id="nothing"),
    pytest.param(b"\x80\x02(.", "does not end in one value", id="bare-mark"),
    pytest.param(b"\x80\x02u.", "broken", id="set-without-dict"),
    pytest.param(b"\x80\x02h\x05.", "broken", id="unknown-memo"),
    pytest.param(b"", "cut off", id="empty"),
    pytest.param(b"not a pickle", "more than plain data", id="text"),
    pytest.param(pickle.dumps([1]), "no dict with a list of entries", id="list"),
    pytest.param(pickle.dumps({"entries": 5}), "no dict with a list of entries", id="entries-no-list"),
    pytest.param(pickle.dumps(a_dump("x", 5, None)), "neither collectives nor", id="entries-no-dicts"),
    pytest.param(pickle.dumps(a_dump(pg_status=[])), "neither collectives nor", id="nothing-in-it"),
]


@pytest.mark.parametrize(("data", "reason"), HOSTILE)
def test_a_hostile_or_broken_dump_is_refused_in_one_line_that_names_it(written, data: bytes, reason: str):
    path = written(data)

    with pytest.raises(GiveUp, match=reason) as refused:
        read_flight_recorder(path, JOB)

    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_over_the_size_limit_is_not_read(written):
    path = written(b"")
    os.truncate(path, MAX_BYTES + 1)

    with pytest.raises(GiveUp, match="8 MiB"):
        read_flight_recorder(path, JOB)


def test_a_pipe_or_a_link_in_the_dumps_place_is_not_followed(tmp_path: Path, written):
    os.mkfifo(tmp_path / "pipe_0")
    (tmp_path / "link_0").symlink_to(written(a_dump(an_entry())))

    for name in ("pipe_0", "link_0", "absent_0"):
        with pytest.raises(GiveUp):
            read_flight_recorder(tmp_path / name, JOB)


def test_values_of_a_strange_shape_are_left_out_not_believed(written):
    laughs: list[Any] = ["ha"]
    for _ in range(60):  # two to the sixtieth when written out
        laughs = [laughs, laughs]
    strange = an_entry(
        profiling_name=laughs,
        collective_seq_id="7",
        input_sizes=laughs,
        output_sizes=[[1 << 100]],
        timeout_ms=True,
        process_group=(laughs,),
        state=laughs,
    )

    event = read_flight_recorder(written(a_dump(strange, pg_status={"x": laughs}, pg_config={"y": laughs})), JOB)

    assert event.values == {"rank": 3, "waiting_collectives": 1}
    assert set(event.attributes) == {"rank", "path", "data_type"}


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(max_size=300),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=5) | st.integers(0, 9), inner, max_size=4)
        | st.tuples(inner, inner)
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(value=PLAIN, protocol=st.integers(2, 5))
def test_all_plain_data_is_read_back_in_every_binary_protocol(value: Any, protocol: int):
    assert loads(pickle.dumps(value, protocol=protocol)) == value


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_garbage_is_a_value_or_is_given_up(data: bytes):
    try:
        loads(b"\x80\x02" + data)
    except GiveUp as refused:
        assert "byte" in str(refused)


REAL = (RECORDINGS / "h200-ddp" / "nccl_trace_rank_0.pickle").read_bytes()[:3000]


@settings(deadline=None)
@given(at=st.integers(0, len(REAL) - 1), byte=st.integers(0, 255), cut=st.integers(1, len(REAL)))
def test_a_real_dump_spoilt_or_cut_anywhere_is_a_value_or_is_given_up(at: int, byte: int, cut: int):
    spoilt = bytearray(REAL)
    spoilt[at] = byte
    try:
        loads(bytes(spoilt[:cut]))
    except GiveUp as refused:
        assert "byte" in str(refused)
