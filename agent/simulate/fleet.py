"""The simulated cluster's hardware: nodes, racks, NVLink domains and cards, with their names and ids."""

import csv
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import numpy as np

from agent.simulate import parameters as p
from collectors.model import Subject, SubjectFacts, SubjectKind


@dataclass(slots=True)
class Card:
    """One GPU."""

    subject: Subject
    index: int
    uuid: str
    pci_bus_id: str
    facts: SubjectFacts
    job: str = ""
    """Id of the job whose pod holds it; `rank` belongs to it."""
    rank: int = -1
    holder: dict[str, str] = field(default_factory=dict)
    """What the collector finds out about the process on it beside job and rank: `pod_uid`, `namespace`, `pod` ..."""


@dataclass(slots=True)
class Node:
    """One machine."""

    index: int
    subject: Subject
    name: str
    rack: str
    pool: str
    nvlink_domain: str
    cards: list[Card]
    boot_id: str
    spool_id: str


@dataclass(slots=True)
class Fleet:
    """All nodes; node i stands in rack i // nodes_per_rack."""

    cluster: str
    nodes: list[Node]
    gpus_per_node: int
    placed: list[tuple[str, str, str]] = field(default_factory=list)

    @classmethod
    def build(
        cls, cluster: str, nodes: int, gpus_per_node: int, nodes_per_rack: int, rng: np.random.Generator
    ) -> "Fleet":
        """Ids come from the generator: the same seed names the same cards."""
        built = []
        for i in range(nodes):
            subject = Subject(cluster, SubjectKind.NODE, str(_uuid(rng)))
            name = f"node-{i:04d}"
            cards = []
            for index in range(gpus_per_node):
                uuid = f"GPU-{_uuid(rng)}"
                gpu = Subject(cluster, SubjectKind.GPU, uuid)
                bus = f"0000:{p.PCI_BUSES[index % 8] + index // 8:02x}:00.0"
                attributes = {
                    "index": str(index),
                    "uuid": uuid,
                    "pci_bus_id": bus,
                    "model": p.MODEL,
                    "power_limit_watts": str(p.POWER_LIMIT_WATTS),
                    "slowdown_celsius": str(p.SLOWDOWN_CELSIUS),
                    "memory_total_bytes": str(p.CARD_BYTES),
                }
                facts = SubjectFacts(gpu, f"{name}/gpu{index}", subject, attributes)
                cards.append(Card(gpu, index, uuid, bus, facts))
            rack = f"rack-{i // nodes_per_rack:02d}"
            domain = f"{name}"  # one NVSwitch board is one domain: H200 boards do not reach beyond their node
            built.append(Node(i, subject, name, rack, "h200", domain, cards, str(_uuid(rng)), f"sim-{i:04d}"))
        return cls(cluster, built, gpus_per_node)

    def write_inventory(self, path: Path) -> None:
        """`inventory.csv`: one line a card; `job` and `rank` as they were at the start, empty where free."""
        with path.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(["node", "rack", "nvlink_domain", "pool", "gpu", "uuid", "pci_bus_id", "job", "rank"])
            for node in self.nodes:
                for card in node.cards:
                    rank = "" if card.rank < 0 else card.rank
                    at = (node.name, node.rack, node.nvlink_domain, node.pool)
                    rows.writerow([*at, card.index, card.uuid, card.pci_bus_id, card.job, rank])


def _uuid(rng: np.random.Generator) -> UUID:
    return UUID(bytes=rng.bytes(16), version=4)
