"""Which rack, NVLink domain and pool each node of a recording stands in: `inventory.csv` beside it.

Columns by name, any order: `node`, and what is known of `rack`, `nvlink_domain`, `pool`; all others are passed over
(cards, jobs and ranks come from the batches themselves). A node's first line counts; an empty cell is unknown.
"""

import csv
from pathlib import Path

from collectors.errors import FixConfiguration

FILE = "inventory.csv"
TOPOLOGY = ("rack", "nvlink_domain", "pool")


def read_nodes(recording: Path) -> dict[str, dict[str, str]]:
    """Attributes of each node by its name; empty where there is no file.

    Raises FixConfiguration where the file cannot be read or has no column `node`.
    """
    path = recording / FILE
    nodes: dict[str, dict[str, str]] = {}
    if not path.exists():
        return nodes
    try:
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            rows = csv.DictReader(file)
            if "node" not in (rows.fieldnames or ()):
                raise FixConfiguration(f"{path}: has no column node; its first line names the columns")
            for row in rows:
                name = row["node"]
                if name and name not in nodes:
                    nodes[name] = {key: row[key] for key in TOPOLOGY if row.get(key)}
    except (OSError, csv.Error) as error:
        raise FixConfiguration(f"{path}: cannot be read ({error})") from None
    return nodes
