"""The machines behind the nodes of a test cluster: each node's cards, with ids that stay the same from run to run."""

from collections import Counter
from collections.abc import Iterable
from uuid import NAMESPACE_OID, uuid5

from agent.simulate import parameters as p
from agent.simulate.fleet import Card, Fleet, Node
from collectors.errors import FixConfiguration
from collectors.model import Subject, SubjectFacts, SubjectKind
from policies.cluster_view import NodeView


def machines(cluster: str, nodes: Iterable[NodeView]) -> tuple[Fleet, list[str]]:
    """A fleet of the nodes that have as many GPUs as most, by name; and a line for each that is left out.

    FixConfiguration where no node has GPUs.
    """
    with_gpus = sorted((node for node in nodes if node.gpus), key=lambda node: node.name)
    if not with_gpus:
        raise FixConfiguration("the cluster has no node with GPUs: nothing to play; add nodes first")
    wide = Counter(node.gpus for node in with_gpus).most_common(1)[0][0]
    left_out = [
        f"node {node.name} is not played: it has {node.gpus} GPUs, the fleet {wide} a node"
        for node in with_gpus
        if node.gpus != wide
    ]
    played = [node for node in with_gpus if node.gpus == wide]
    return Fleet(cluster, [_machine(cluster, i, node) for i, node in enumerate(played)], wide), left_out


def _machine(cluster: str, place: int, node: NodeView) -> Node:
    subject = Subject(cluster, SubjectKind.NODE, node.uid)
    cards = []
    for index in range(node.gpus):
        uuid = f"GPU-{uuid5(NAMESPACE_OID, f'{node.uid}/gpu/{index}')}"
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
        facts = SubjectFacts(gpu, f"{node.name}/gpu{index}", subject, attributes)
        cards.append(Card(gpu, index, uuid, bus, facts))
    boot_id = node.boot_id or str(uuid5(NAMESPACE_OID, f"{node.uid}/boot"))
    return Node(place, subject, node.name, node.rack, node.pool, node.domain, cards, boot_id, "")
