"""The folder of a played cluster: for this user alone, and gone with it."""

import stat
from pathlib import Path

import pytest

from testcluster.play.run import own_folder


@pytest.mark.parametrize("end", [KeyboardInterrupt, OSError], ids=["Ctrl-C", "a failure"])
def test_no_token_is_left_however_it_ends(end: type[BaseException], tmp_path: Path) -> None:
    folder = tmp_path / "cluster-data"
    with pytest.raises(end), own_folder(folder):
        (folder / "alice.token").write_text("secret")
        raise end

    assert not folder.exists()


def test_it_begins_empty_and_for_this_user_alone(tmp_path: Path) -> None:
    folder = tmp_path / "cluster-data"
    folder.mkdir()
    (folder / "of before").write_text("")
    with own_folder(folder):
        assert (list(folder.iterdir()), stat.S_IMODE(folder.stat().st_mode)) == ([], 0o700)
