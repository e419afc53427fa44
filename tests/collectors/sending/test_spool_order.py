"""Batches come out as they went in, across restarts, and numbers are given out once."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sending_helpers import batch_of, drain, folder_bytes, numbers

from collectors.errors import FixConfiguration, GiveUp
from collectors.sending.disk import Waiting
from collectors.sending.spool import Spool


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    made = Spool(tmp_path / "spool")
    yield made
    made.close()


def test_an_empty_spool_has_nothing_to_send(spool: Spool) -> None:
    assert spool.oldest() is None


def test_batches_come_out_in_order_stamped_with_id_and_number(spool: Spool) -> None:
    given = [spool.append(batch_of(i)) for i in range(5)]
    batches = drain(spool)
    assert list(range(5)) == numbers(batches)
    assert given == [(b.spool_id, b.sequence) for b in batches]
    assert [(spool.spool_id, i) for i in range(5)] == given


def test_what_is_not_acknowledged_comes_again(spool: Spool) -> None:
    spool.append(batch_of(1))
    assert spool.oldest() == spool.oldest()
    assert spool.waiting_batches == 1


def test_a_restart_keeps_what_waits_and_goes_on_counting(tmp_path: Path) -> None:
    first = Spool(tmp_path)
    for i in range(4):
        first.append(batch_of(i))
    sent = first.oldest()
    assert sent is not None
    first.acknowledge(sent)
    spool_id = first.spool_id
    first.close()
    second = Spool(tmp_path)
    assert (spool_id, 4) == second.append(batch_of(4))
    assert numbers(drain(second)) == [1, 2, 3, 4]
    second.close()


def test_a_restart_of_an_emptied_out_spool_goes_on_counting(tmp_path: Path) -> None:
    ids = set()
    for i in range(4):
        spool = Spool(tmp_path)
        ids.add(spool.append(batch_of(i)))
        assert [i] == numbers(drain(spool))
        spool.close()
    assert {0, 1, 2, 3} == {sequence for _, sequence in ids}
    assert len({spool_id for spool_id, _ in ids}) == 1


def test_acknowledged_segments_are_removed(tmp_path: Path) -> None:
    spool = Spool(tmp_path, segment_bytes=8_192)
    for i in range(200):
        spool.append(batch_of(i, ballast=500))
    assert folder_bytes(tmp_path) > 100_000
    drain(spool)
    assert folder_bytes(tmp_path) < 10_000
    assert spool.waiting_batches == 0
    spool.close()


def test_a_long_backlog_is_read_back_in_order(tmp_path: Path) -> None:
    spool = Spool(tmp_path, segment_bytes=8_192)
    for i in range(300):
        spool.append(batch_of(i, ballast=300))
    spool.close()
    again = Spool(tmp_path, segment_bytes=8_192)
    for i in range(300, 320):
        again.append(batch_of(i, ballast=300))
    assert again.waiting_batches == 320
    assert list(range(320)) == numbers(drain(again))
    again.close()


@pytest.mark.parametrize("cut", [1, 10, 23, 60])
def test_a_torn_tail_costs_the_torn_record_only(tmp_path: Path, cut: int) -> None:
    spool = Spool(tmp_path)
    for i in range(3):
        spool.append(batch_of(i))
    spool.close()
    (segment,) = tmp_path.glob("*.segment")
    segment.write_bytes(segment.read_bytes()[:-cut])
    again = Spool(tmp_path)
    again.append(batch_of(9))
    assert numbers(drain(again)) == [0, 1, 9]
    assert again.take_losses()["damaged_bytes"] > 0
    again.close()


def test_numbers_that_a_damaged_record_may_have_borne_are_not_given_out_again(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    used = {spool.append(batch_of(i)) for i in range(3)}
    spool.close()
    (segment,) = tmp_path.glob("*.segment")
    segment.write_bytes(segment.read_bytes()[:-1] + b"\0")
    again = Spool(tmp_path)
    assert again.append(batch_of(3)) not in used
    again.close()


def test_a_hole_in_the_middle_costs_the_records_in_it_only(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for i in range(20):
        spool.append(batch_of(i, ballast=200))
    spool.close()
    (segment,) = tmp_path.glob("*.segment")
    raw = bytearray(segment.read_bytes())
    raw[1_000:1_500] = bytes(500)
    segment.write_bytes(raw)
    again = Spool(tmp_path)
    arrived = numbers(drain(again))
    assert sorted(arrived) == arrived
    assert 15 <= len(arrived) < 20
    assert {0, 1, 19} <= set(arrived)
    again.close()


def test_rot_found_while_sending_costs_one_batch_and_is_counted(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for i in range(3):
        spool.append(batch_of(i, ballast=100))
    (segment,) = tmp_path.glob("*.segment")
    with segment.open("r+b") as file:
        file.seek(120)
        file.write(b"\xff\xff\xff")
    assert numbers(drain(spool)) == [1, 2]
    assert dict(spool.take_losses()) == {"unreadable": 1}
    spool.close()


def test_an_emptied_folder_gets_a_new_spool_id(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    spool = Spool(folder)
    old = [spool.append(batch_of(i)) for i in range(3)]
    shutil.rmtree(folder)
    new = spool.append(batch_of(3))
    assert new[0] != old[0][0]
    assert new[1] == 0
    assert numbers(drain(spool)) == [3]
    assert dict(spool.take_losses()) == {"vanished": 3}
    assert spool.disk_works
    spool.close()


def test_a_folder_that_vanished_between_two_runs_gets_a_new_spool_id(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    first = Spool(folder)
    old = first.append(batch_of(0))
    first.close()
    shutil.rmtree(folder)
    second = Spool(folder)
    assert second.append(batch_of(1)) not in {old}
    assert second.spool_id != old[0]
    second.close()


def test_an_acknowledgement_of_something_long_gone_changes_nothing(spool: Spool) -> None:
    spool.append(batch_of(1))
    spool.acknowledge(Waiting("x" * 32, 5, b"", 999))
    assert numbers(drain(spool)) == [1]


def test_a_second_collector_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    with pytest.raises(FixConfiguration, match="in use by another collector"):
        Spool(tmp_path)
    spool.close()
    Spool(tmp_path).close()


def test_a_folder_that_is_a_file_is_a_wrong_setting(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("")
    with pytest.raises(FixConfiguration, match=r"spool: File exists; give this user access or set spool.directory"):
        Spool(tmp_path / "spool")


def test_files_are_for_their_owner_only(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    spool.append(batch_of(1))
    assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o700
    assert {0o600} == {path.stat().st_mode & 0o777 for path in (tmp_path / "spool").iterdir()}
    spool.close()


def test_a_batch_larger_than_the_spool_is_given_up_and_uses_no_number(tmp_path: Path) -> None:
    spool = Spool(tmp_path, max_bytes=100_000)
    with pytest.raises(GiveUp, match="cannot hold it"):
        spool.append(batch_of(1, ballast=300_000))
    assert spool.append(batch_of(2))[1] == 0
    spool.close()


def test_foreign_files_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.segment").write_text("mine")
    (tmp_path / "README").write_text("mine")
    Spool(tmp_path).close()
    assert (tmp_path / "notes.segment").read_text() == "mine"
    assert (tmp_path / "README").read_text() == "mine"
