"""A recording of many nodes' batches: what is written is read back, whatever became of the file."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.errors import FixConfiguration
from collectors.model import Batch, Origin, Subject, SubjectKind
from collectors.recording.batches import FILE, MOST_CAUSES, BatchRecording, BatchWriter, holds_batches
from collectors.wire import encode

START = 1_795_392_000


def batch(number: int, *, cluster: str = "c", origin: Origin = Origin.REPLAY) -> Batch:
    node = Subject(cluster, SubjectKind.NODE, f"n{number % 3}")
    return Batch(1, origin, node, "boot", "spool", number, (START + number) * 10**9, ())


def written(folder: Path, batches: list[Batch]) -> Path:
    folder.mkdir(exist_ok=True)
    with BatchWriter(folder) as writer:
        for one in batches:
            writer.write(one.sent_ns + 5_000_000, encode(one))
    meta = {"cluster": "c", "start_unix": START, "end_unix": START + 60}
    (folder / "meta.json").write_bytes(msgspec.json.encode(meta))
    return folder


def test_what_was_written_is_played_in_order_and_again(tmp_path: Path) -> None:
    batches = [batch(n) for n in range(5)]
    recording = BatchRecording(written(tmp_path, batches))

    expected = [(one.sent_ns + 5_000_000, one) for one in batches]
    assert [list(recording.play()), list(recording.play())] == [expected, expected]
    assert not recording.bad


def test_a_recording_cut_at_a_time_plays_what_the_whole_one_plays_before_it(tmp_path: Path) -> None:
    recording = BatchRecording(written(tmp_path, [batch(n) for n in range(5)]))

    until_ns = (START + 3) * 10**9 + 5_000_000
    assert [one.sequence for _, one in recording.play(until_ns)] == [0, 1, 2]


def test_batches_that_were_live_are_no_longer(tmp_path: Path) -> None:
    recording = BatchRecording(written(tmp_path, [batch(0, origin=Origin.LIVE), batch(1, origin=Origin.TEST)]))

    assert [one.origin for _, one in recording.play()] == [Origin.REPLAY, Origin.TEST]


def test_batches_of_another_cluster_are_passed_over_and_counted(tmp_path: Path) -> None:
    recording = BatchRecording(written(tmp_path, [batch(0), batch(1, cluster="other"), batch(2)]))

    assert [one.sequence for _, one in recording.play()] == [0, 2]
    assert dict(recording.bad) == {"batches of another cluster": 1}


def test_a_record_that_is_no_batch_costs_itself(tmp_path: Path) -> None:
    folder = written(tmp_path, [batch(0)])
    whole = (folder / FILE).read_bytes()
    (folder / FILE).unlink()
    with BatchWriter(folder) as writer:
        writer.write(START * 10**9, b"garbage")
        writer.write((START + 1) * 10**9, encode(batch(1)))
    recording = BatchRecording(folder)

    assert [one.sequence for _, one in recording.play()] == [1]
    assert sum(recording.bad.values()) == 1
    assert whole.startswith(b"WATCHSTANDER")


def test_a_file_that_is_rotten_in_many_places_is_told_in_few_lines(tmp_path: Path) -> None:
    with BatchWriter(tmp_path) as writer:
        for second in range(40):
            writer.write((START + second) * 10**9, b"x" * (second + 1))
    written(tmp_path / "meta", [batch(0)])
    (tmp_path / "meta" / "meta.json").rename(tmp_path / "meta.json")
    recording = BatchRecording(tmp_path)

    assert list(recording.play()) == []
    assert len(recording.bad) > MOST_CAUSES
    assert len(recording.problems) == MOST_CAUSES + 1
    told = [int(line.removeprefix(f"{tmp_path}: passed over ").split(":")[0].split()[0]) for line in recording.problems]
    assert sum(told) == 40


@given(cut=st.integers(min_value=0, max_value=10_000))
def test_a_file_cut_anywhere_plays_up_to_the_cut(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    folder = written(tmp_path_factory.mktemp("cut"), [batch(n) for n in range(6)])
    whole = (folder / FILE).read_bytes()
    (folder / FILE).write_bytes(whole[:cut])
    recording = BatchRecording(folder)

    try:
        played = [one.sequence for _, one in recording.play()]
    except FixConfiguration as error:
        assert "no recording of batches" in str(error) and cut < 23
        return
    assert played == list(range(len(played)))
    assert len(played) == 6 or sum(recording.bad.values()) <= 1


@pytest.mark.parametrize(
    "meta",
    [b"", b"[]", b'{"cluster": "c"}', b'{"cluster": "", "start_unix": 1, "end_unix": 2}',
     b'{"cluster": "c", "start_unix": 5, "end_unix": 2}', b'{"cluster": "c", "start_unix": "x", "end_unix": 2}'],
    ids=["empty", "list", "no times", "no name", "backwards", "text"],
)  # fmt: skip
def test_a_bad_meta_file_gets_one_line_with_its_path(tmp_path: Path, meta: bytes) -> None:
    (tmp_path / "meta.json").write_bytes(meta)

    with pytest.raises(FixConfiguration) as caught:
        BatchRecording(tmp_path)
    assert str(tmp_path / "meta.json") in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    written(tmp_path, [batch(0)])

    with pytest.raises(FixConfiguration, match="is there already"):
        BatchWriter(tmp_path)


def test_records_must_come_in_order(tmp_path: Path) -> None:
    with BatchWriter(tmp_path) as writer:
        writer.write(2, b"x")
        with pytest.raises(ValueError, match="behind"):
            writer.write(1, b"x")


def test_a_folder_of_batches_is_known_by_its_file(tmp_path: Path) -> None:
    assert not holds_batches(tmp_path)
    assert holds_batches(written(tmp_path, []))
