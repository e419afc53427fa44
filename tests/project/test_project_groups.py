"""Tests of one group run on one worker: without that three control planes would start, and nothing would say so."""

import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
import os
from pathlib import Path
import pytest

@pytest.mark.xdist_group("together")
@pytest.mark.parametrize("number", range(6))
def test_says_where_it_runs(number):
    (Path(__file__).parent / f"{number}.ran").write_text(os.environ["PYTEST_XDIST_WORKER"])
"""


@pytest.mark.slow
def test_the_tests_of_a_group_run_on_one_worker(tmp_path: Path) -> None:
    (tmp_path / "test_group.py").write_text(TESTS)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-n",
        "2",
        "--dist",
        "loadgroup",
        "--no-loadscope-reorder",
        "-c",
        "/dev/null",
    ]

    subprocess.run([*command, str(tmp_path)], check=True, cwd=tmp_path, stdout=subprocess.DEVNULL)

    workers = [file.read_text() for file in tmp_path.glob("*.ran")]
    assert (len(workers), len(set(workers))) == (6, 1)
