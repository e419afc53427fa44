"""`inventory.csv` beside a recording: what of it is used, and what is told of the rest."""

from pathlib import Path

import pytest

from agent.inventory_csv import FILE, read_nodes

GOOD = {"n1": {"rack": "r1", "pool": "h200"}}


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        pytest.param([], [], id="all-good"),
        pytest.param(
            ["n2,r1,h200,more", ",r1,h200"], ["passed over 2 of its rows, the first is line 3"], id="bad-rows"
        ),
        pytest.param(["n1,r2,a100"], [], id="a-nodes-first-line-counts"),
    ],
)
def test_a_row_that_cannot_be_used_costs_itself_and_is_told(rows: list[str], told: list[str], tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("\n".join(["node,rack,pool", "n1,r1,h200", *rows]))
    heard: list[str] = []
    assert read_nodes(tmp_path, heard.append) == GOOD
    assert [line.rsplit(": ", 1)[0] for line in heard] == [f"{tmp_path / FILE}: {one}" for one in told]
