"""Which rack, NVLink domain and pool each node of a recording stands in: `inventory.csv` beside it.

Columns by name, any order: `node`, and what is known of `rack`, `nvlink_domain`, `pool`; all others are passed over
(cards, jobs and ranks come from the batches themselves). A node's first line counts; an empty cell is unknown.
"""

import csv
import io
from collections.abc import Callable
from pathlib import Path

from collectors.errors import FixConfiguration

FILE = "inventory.csv"
TOPOLOGY = ("rack", "nvlink_domain", "pool")


def read_nodes(recording: Path, tell: Callable[[str], object] = len) -> dict[str, dict[str, str]]:
    """Attributes of each node by its name; empty where there is no file. `tell` hears of rows that are passed over.

    Raises FixConfiguration where the file cannot be read or has no column `node`.
    """
    path = recording / FILE
    if not path.exists():
        return {}
    try:
        text = path.read_text("utf-8", "replace")
    except OSError as error:
        raise FixConfiguration(f"{path}: cannot be read ({error})") from None
    return nodes_in(text, str(path), tell)


def nodes_in(text: str, where: str, tell: Callable[[str], object] = len) -> dict[str, dict[str, str]]:
    """The same of a file's text; `where` names it in errors."""
    bad: list[int] = []
    nodes: dict[str, dict[str, str]] = {}
    try:
        rows = csv.DictReader(io.StringIO(text, newline=""))
        if "node" not in (rows.fieldnames or ()):
            raise FixConfiguration(f"{where}: has no column node; its first line names the columns")
        for row in rows:
            name = row["node"]
            # DictReader puts cells beyond the columns under None.
            if not name or None in row:
                bad.append(rows.line_num)
            elif name not in nodes:
                nodes[name] = {key: row[key] for key in TOPOLOGY if row.get(key)}
    except csv.Error as error:
        raise FixConfiguration(f"{where}: cannot be read ({error})") from None
    if bad:
        why = "no node is named, or there are more cells than columns"
        tell(f"{where}: passed over {len(bad)} of its rows, the first is line {bad[0]}: {why}")
    return nodes


def written(nodes: dict[str, dict[str, str]]) -> str:
    """A file's text of such nodes, by name."""
    out = io.StringIO(newline="")
    rows = csv.DictWriter(out, ("node", *TOPOLOGY), restval="", lineterminator="\n")
    rows.writeheader()
    rows.writerows({"node": name, **nodes[name]} for name in sorted(nodes))
    return out.getvalue()
