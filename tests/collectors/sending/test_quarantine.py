"""The quarantine keeps the newest refused batches with their reasons, within its bounds."""

from pathlib import Path

import pytest

from collectors.sending.disk import Waiting
from collectors.sending.quarantine import Quarantine


def refused(number: int, size: int = 100) -> Waiting:
    return Waiting("a" * 32, number, bytes([number % 256]) * size, 0)


def test_a_batch_lies_beside_its_reason(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path / "q")
    quarantine.put(refused(7), "answers 400: bad", 123)
    (path,) = quarantine.batches()
    assert path.read_bytes() == b"\7" * 100
    assert path.with_suffix(".reason").read_text() == "answers 400: bad\n"
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("bounds", [{"max_batches": 3}, {"max_bytes": 350}], ids=["number", "bytes"])
def test_the_oldest_go_first(tmp_path: Path, bounds: dict[str, int]) -> None:
    quarantine = Quarantine(tmp_path, **bounds)
    for i in range(10):
        quarantine.put(refused(i), "bad", 1_000 + i)
    assert [path.read_bytes()[0] for path in quarantine.batches()] == [7, 8, 9]
    assert len(list(tmp_path.iterdir())) == 6
    assert quarantine.refused == 10


def test_a_batch_larger_than_the_quarantine_is_counted_and_not_kept(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path, max_bytes=50)
    quarantine.put(refused(1), "bad", 1)
    assert quarantine.batches() == []
    assert quarantine.refused == 1


def test_a_folder_that_cannot_be_made_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    quarantine = Quarantine(tmp_path / "file" / "q")
    quarantine.put(refused(1), "bad", 1)
    assert quarantine.refused == 1
    assert "a refused batch was dropped without a copy" in caplog.text
