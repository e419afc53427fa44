"""Each test of processes has a /proc of its own."""

from pathlib import Path

import pytest
from fake_proc_tree import FakeProc


@pytest.fixture
def fake_proc(tmp_path: Path) -> FakeProc:
    root = tmp_path / "proc"
    root.mkdir()
    return FakeProc(root)
