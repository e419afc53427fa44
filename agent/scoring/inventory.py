"""What a score needs to know about places: how many nodes there are, and in which rack each stands."""

from dataclasses import dataclass, field
from pathlib import Path

from agent.inventory_csv import read_nodes


@dataclass(slots=True)
class Cluster:
    """The nodes of a recording."""

    nodes: int = 1
    rack_of: dict[str, str] = field(default_factory=dict)


def read_cluster(recording: Path) -> Cluster:
    """One node where there is no inventory: a recording of one."""
    nodes = read_nodes(recording)
    return Cluster(max(1, len(nodes)), {name: said["rack"] for name, said in nodes.items() if "rack" in said})
