"""`inventory.csv`: good rows count, each bad one costs itself and one line."""

from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from migrated_stores import migrated

from agent.inventory.csv_file import MOST_PROBLEMS, CsvFile, read_inventory_csv
from agent.inventory.feed import InventoryFeed
from agent.server.watches import watch_maker
from agent.settings import InventorySettings
from agent.store.store import open_store
from agent.watch import Watch
from collectors.errors import FixConfiguration
from collectors.model import Origin, Subject, SubjectFacts, SubjectKind
from detectors.inventory import Source
from detectors.model import Inventory

NODE, GPU = SubjectKind.NODE, SubjectKind.GPU


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "inventory.csv"


def test_racks_of_nodes_and_what_cards_work_for_are_read_in_any_order_of_columns(path: Path) -> None:
    path.write_text(
        "Rack,node,gpu,job,rank,pci_bus_id,note\nr1,a,,,,,\nr1,a,3,llama,11,0000:5D:00.0,spare fan\n\n,b,,,,,\n"
    )
    read = read_inventory_csv(path)

    assert read.by_name == {
        (NODE, "a"): {"rack": "r1"},
        (GPU, "a/gpu3"): {"job": "llama", "rank": "11", "pci_bus_id": "0000:5d:00.0"},
        (NODE, "b"): {},
    }
    assert (read.rows, read.problems) == (3, [])


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (",r1,,,", "column node: empty"),
        ("a,r2,,,", "column rack: 'r2', but line 2 says 'r1' of a"),
        ("a,r1,x,,", "column gpu: 'x' is not a whole number"),
        ("a,r1,,job,", "column gpu: empty, but column job speaks of a card"),
        ("a,r1,3,job,-1", "column rank: '-1' is not a whole number"),
        ("a,r1,3,j\x1b[31m,", "column job: 'j\\x1b[31m' is longer than 253 characters or not plain text"),
        (f"a,r1,3,{'j' * 300},", "column job: 'jjjjjjjjjjjjjjjjjjjj' is longer than 253 characters or not plain text"),
    ],
)
def test_a_bad_row_says_line_and_column_and_the_rest_counts(path: Path, row: str, said: str) -> None:
    path.write_text(f"node,rack,gpu,job,rank\na,r1,,,\n{row}\nz,r9,,,\n")
    read = read_inventory_csv(path)

    assert read.problems == [f"{path}: line 3: {said}; the row is passed over"]
    assert (read.by_name[NODE, "a"], read.by_name[NODE, "z"], read.rows) == ({"rack": "r1"}, {"rack": "r9"}, 2)


def test_many_bad_rows_are_counted_not_told_one_by_one(path: Path) -> None:
    path.write_text("node,gpu\n" + "a,x\n" * 500)
    read = read_inventory_csv(path)

    assert (len(read.problems), read.refused) == (MOST_PROBLEMS + 1, 500)
    assert read.problems[-1] == f"{path}: 480 more rows are passed over"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "no column `node`"),
        (b"rack,pool\nr,p\n", "no column `node`"),
        (b"node,rack,rack\n", "column `rack` stands there twice"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "no column `node`"),
    ],
)
def test_what_is_no_such_table_is_refused_whole(path: Path, text: bytes, said: str) -> None:
    path.write_bytes(text)
    with pytest.raises(FixConfiguration, match=said):
        read_inventory_csv(path)


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(path: Path) -> None:
    path.write_bytes(b"\xef\xbb\xbfnode,rack\r\na,r1\r\n")

    assert read_inventory_csv(path).by_name == {(NODE, "a"): {"rack": "r1"}}


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400) | st.text(alphabet='node,rackgpu0123"\n\0;', max_size=200).map(str.encode))
def test_whatever_the_bytes_there_is_a_reading_or_one_clear_line(tmp_path_factory, body: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(b"node,rack,gpu,job,rank\na,r1,,,\n" + body)
    read = read_inventory_csv(path)

    assert all(str(path) in problem and "\n" not in problem for problem in read.problems)
    assert read.rows >= 1
    assert read.by_name[NODE, "a"]["rack"] == "r1"


def test_a_changed_file_is_read_anew_and_a_broken_one_leaves_the_last_in_force(path: Path) -> None:
    path.write_text("node,rack\na,r1\n")
    feed = InventoryFeed(InventorySettings(csv=str(path)))
    line, inventory = feed.subscribe(), Inventory()
    feed.poll_file()
    line.apply(inventory, 1)
    assert feed.file is not None
    assert feed.file.poll() is None

    path.write_text("node;rack\na;r2\n")
    feed.poll_file()
    assert (line.apply(inventory, 2), "no column `node`" in feed.problems[0]) == (0, True)

    path.write_text("node,rack\na,r3\n")
    feed.poll_file()
    assert (line.apply(inventory, 3), feed.problems) == (1, [])


def test_a_file_that_goes_away_says_so(path: Path) -> None:
    path.write_text("node,rack\na,r1\n")
    file = CsvFile(path)
    file.poll()
    path.unlink()

    assert file.poll() is None
    assert file.problem == f"{path}: No such file or directory"


def test_a_live_watch_of_the_cluster_is_told_at_its_tick_and_no_other(path: Path, tmp_path: Path) -> None:
    path.write_text("node,rack\nn1,r7\n")
    feed = InventoryFeed(InventorySettings(csv=str(path), cluster="c"))
    feed.poll_file()
    with closing(open_store(migrated(tmp_path / "store.db"))) as store:
        make = watch_maker(store, feed)
        watches = [make(Origin.LIVE, "c"), make(Origin.LIVE, "other"), make(Origin.REPLAY, "c")]
    racks = []
    for watch in watches:
        assert isinstance(watch, Watch)
        node = Subject("c", NODE, "uid-1")
        watch.engine.inventory.tell(Source.KUBERNETES, [SubjectFacts(node, "n1")], 1)
        watch.tick(10**9)
        racks.append(watch.engine.inventory.attribute(node, "rack"))

    assert racks == ["r7", None, None]
