"""Whom a GPU is to be seen beside: the GPUs of its job, else of its node, as the running watch knows them."""

from starlette.requests import Request

from agent.access.visible_nodes import inventory_of as known_to
from collectors.model import Subject, SubjectKind
from detectors.model import Incident, Inventory


def inventory_of(request: Request, incident: Incident) -> Inventory | None:
    """The inventory of the watch that the incident came from; None where that watch is no more."""
    return known_to(request.app.state.watches, incident.origin, incident.subject.cluster)


def peers_of(inventory: Inventory, subject: Subject) -> list[Subject]:
    """GPUs of the same job, else of the same node, in order of their keys, without the subject itself.

    The watch goes on learning meanwhile: its facts are copied at one stroke first.
    """
    facts = list(inventory.facts.items())
    job, node = inventory.job_of(subject), inventory.node_of(subject)
    peers = []
    if job is not None:
        peers = [gpu for gpu, known in facts if gpu.kind is SubjectKind.GPU and known.attributes.get("job") == job.id]
    elif node is not None:
        peers = [gpu for gpu, known in facts if gpu.kind is SubjectKind.GPU and known.node == node]
    return sorted(peer for peer in peers if peer != subject)
