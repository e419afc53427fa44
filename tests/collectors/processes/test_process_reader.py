"""A process is read from /proc whole or not at all, and nothing of its environment is kept but four figures."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fake_proc_tree import UID, FakeProc
from hypothesis import given
from hypothesis import strategies as st

from collectors.processes.proc import Proc, ProcessId, read_stat
from collectors.processes.ranks import Ranks, rank_by_completion_index, read_ranks


@pytest.mark.parametrize("comm", ["python3", "a b", "a) S 7 (b", "((", "x\n9 (y) Z 1", "Ünïcode"])
def test_the_name_of_a_program_cannot_disturb_the_reading(comm: str) -> None:
    stat = read_stat(7, f"7 ({comm}) S 3 {'0 ' * 17}900 0 0\n")
    assert stat is not None
    assert (stat.id, stat.comm, stat.parent, stat.dead) == (ProcessId(7, 900), comm, 3, False)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7",
        "7 (a) S 3",
        f"8 (a) S 3 {'0 ' * 17}900",
        f"7 (a) S x {'0 ' * 17}9",
        f"7 (a) S 3 {'0 ' * 17}-9",
        "\0" * 99,
    ],
    ids=range(7),
)
def test_what_is_no_stat_is_no_process(text: str) -> None:
    assert read_stat(7, text) is None


@given(st.text())
def test_any_stat_is_read_without_an_error(text: str) -> None:
    read_stat(7, text)


@given(st.binary())
def test_any_environment_is_read_without_an_error(environ: bytes) -> None:
    read_ranks(environ)


@given(st.dictionaries(st.from_regex(r"[A-Z_]{1,12}", fullmatch=True), st.integers(0, 9_999_999), max_size=8))
def test_four_keys_are_read_and_no_other(env: dict[str, int]) -> None:
    keys = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "JOB_COMPLETION_INDEX")
    environ = b"".join(f"{key}={value}\0".encode() for key, value in env.items())
    assert read_ranks(environ) == Ranks(*(env.get(key) for key in keys))


@pytest.mark.parametrize(
    "value", ["", " 3", "3 ", "-1", "+3", "3.0", "0x3", "³", "99999999", "three", "3\n", "1_0", "\x1b[31m3"]
)
def test_a_rank_that_is_no_plain_figure_is_unknown(value: str) -> None:
    assert read_ranks(f"RANK={value}\0LOCAL_RANK=2\0".encode()) == Ranks(local_rank=2)


def test_of_a_key_that_stands_twice_the_first_counts() -> None:
    assert read_ranks(b"RANK=x\0RANK=3\0WORLD_SIZE=8\0WORLD_SIZE=9") == Ranks(world_size=8)


@pytest.mark.parametrize(
    ("ranks", "gpus", "expected"),
    [
        (Ranks(None, 2, 16, 1), 8, 10),
        (Ranks(None, 2, None, 1), 8, 10),
        (Ranks(None, 0, 4, 3), 1, 3),
        (Ranks(None, None, 16, 1), 8, None),
        (Ranks(None, 2, 16, None), 8, None),
        (Ranks(None, 8, 16, 1), 8, None),
        (Ranks(None, 2, 15, 1), 8, None),
        (Ranks(None, 2, 16, 2), 8, None),
        (Ranks(None, 0, 4, 0), 0, None),
        (Ranks(5, 2, 16, 1), 8, None),
    ],
)
def test_a_rank_is_counted_only_where_everything_is_known_and_fits(
    ranks: Ranks, gpus: int, expected: int | None
) -> None:
    assert rank_by_completion_index(ranks, gpus) == expected


def test_a_process_is_read_with_pod_and_ranks(fake_proc: FakeProc) -> None:
    fake_proc.in_pod(40, env={"TOKEN": "secret", "RANK": "3"}, comm="python")
    process = Proc(fake_proc.root).process(40)
    assert process is not None
    assert (process.id, process.comm) == (ProcessId(40, 1000), "python")
    assert (process.owner.pod_uid, process.owner.container_id) == (UID, 64 * "a")
    assert process.ranks == Ranks(rank=3)
    assert "secret" not in repr(process)


def test_an_environment_that_may_not_be_read_leaves_the_ranks_unknown(fake_proc: FakeProc) -> None:
    fake_proc.in_pod(40, env={"RANK": "3"})
    (fake_proc.root / "40" / "environ").unlink()
    process = Proc(fake_proc.root).process(40)
    assert process is not None
    assert process.ranks == Ranks()


@pytest.mark.parametrize("missing", ["stat", "cgroup"])
def test_half_a_process_is_none(fake_proc: FakeProc, missing: str) -> None:
    fake_proc.in_pod(40)
    (fake_proc.root / "40" / missing).unlink()
    assert Proc(fake_proc.root).process(40) is None


def test_a_dead_process_that_nobody_has_waited_for_is_none(fake_proc: FakeProc) -> None:
    fake_proc.in_pod(40, state="Z")
    assert Proc(fake_proc.root).process(40) is None
    assert not Proc(fake_proc.root).is_alive(ProcessId(40, 1000))


def test_a_number_given_out_again_is_another_process(fake_proc: FakeProc) -> None:
    fake_proc.start(40, ticks=1000)
    proc = Proc(fake_proc.root)
    assert proc.is_alive(ProcessId(40, 1000))
    fake_proc.start(40, ticks=2000)
    assert not proc.is_alive(ProcessId(40, 1000))


def test_a_lineage_ends_at_init_after_five_levels_and_in_a_circle(fake_proc: FakeProc) -> None:
    for pid in range(2, 12):
        fake_proc.start(pid, parent=pid - 1)
    fake_proc.start(20, parent=21)
    fake_proc.start(21, parent=20)
    proc = Proc(fake_proc.root)
    assert proc.lineage(3) == [3, 2]
    assert proc.lineage(11) == [11, 10, 9, 8, 7, 6]
    assert proc.lineage(20) == [20, 21]
    assert proc.lineage(99) == [99]


def test_only_outputs_of_the_wanted_names_are_looked_at(fake_proc: FakeProc, tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    log.write_text("")
    fake_proc.start(40, stdout=str(log))
    proc = Proc(fake_proc.root)
    assert proc.outputs(40, {"train.log"}) == {(log.stat().st_dev, log.stat().st_ino)}
    assert proc.outputs(40, {"other.log"}) == set()
    assert proc.outputs(41, {"train.log"}) == set()


def test_an_environment_beyond_all_bounds_is_not_read(fake_proc: FakeProc) -> None:
    fake_proc.start(40)
    (fake_proc.root / "40" / "environ").write_bytes(b"A=1\0" * (9 << 18) + b"RANK=3\0")
    assert Proc(fake_proc.root).ranks(40) is None
    (fake_proc.root / "40" / "environ").write_bytes(b"A=1\0" * (1 << 18) + b"RANK=3\0")
    assert Proc(fake_proc.root).ranks(40) == Ranks(rank=3)


@pytest.mark.slow
def test_a_real_process_is_found_with_its_rank_and_its_log(tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    with log.open("w") as out:
        child = subprocess.Popen(
            [sys.executable, "-c", "print('up', flush=True); input()"],
            env={"RANK": "3", "WORLD_SIZE": "8"},
            stdin=subprocess.PIPE,
            stdout=out,
        )
    try:
        while not log.read_text():
            assert child.poll() is None
        process = Proc().process(child.pid)
        assert process is not None
        assert process.ranks == Ranks(rank=3, world_size=8)
        assert Proc().is_alive(process.id)
        assert Proc().lineage(child.pid)[:2] == [child.pid, os.getpid()]
        assert Proc().outputs(child.pid, {"train.log"}) == {(log.stat().st_dev, log.stat().st_ino)}
    finally:
        child.communicate(b"\n")
    assert not Proc().is_alive(process.id)
