"""Reads a simulated cluster's inventory.csv for a score: nodes, their racks, and the jobs on them."""

import csv
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(slots=True)
class Cluster:
    """What a score needs to know about places."""

    nodes: int = 1
    rack_of: dict[str, str] = field(default_factory=dict)


def read_cluster(recording: Path) -> Cluster:
    """One node where there is no inventory: a recording of one."""
    cluster = Cluster()
    path = recording / "inventory.csv"
    if not path.exists():
        return cluster
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        for row in csv.DictReader(file):
            node, rack = row.get("node"), row.get("rack")
            if node:
                cluster.rack_of[node] = rack or ""
    cluster.nodes = max(1, len(cluster.rack_of))
    return cluster
