"""Which Kubernetes namespaces a thing belongs to, as far as the inventory knows.

A pod belongs to its namespace, a job to those of its pods and of the cards that work for it, a card to whoever holds
it, a node to all who hold one of its cards or have a pod with GPUs there. What is wider than a node belongs to nobody.
What is held by somebody of whom no namespace is known belongs to UNKNOWN as well, and nobody may read that by a right
in a namespace.
"""

from collectors.model import Subject, SubjectFacts, SubjectKind
from detectors.inventory.belonging import UNKNOWN, spoken_of
from detectors.model.inventory import Inventory

SLACK_NS = 120 * 1_000_000_000
"""A card's first word may come so much later than what it is about: the first looks of a collector, a restart."""
HOLDER_KEYS = ("namespace", "pods", "pod_uid", "job")
"""Attributes of a card that somebody works on."""


def namespaces_at(inventory: Inventory, subject: Subject, at_ns: int | None = None) -> tuple[str, ...]:
    """The namespaces that a subject belongs to, sorted, UNKNOWN among them; () where it belongs to nobody.

    `at_ns`: of a card also whoever held it then, and UNKNOWN where the card was not known at that time.
    """
    return tuple(sorted(_of(inventory, subject, at_ns)))


def _of(inventory: Inventory, subject: Subject, at_ns: int | None) -> frozenset[str]:
    kind = subject.kind
    if kind in (SubjectKind.JOB, SubjectKind.POD):
        return inventory.belonging.of(subject) or frozenset({UNKNOWN})
    if kind is SubjectKind.GPU:
        return _of_card(inventory, subject, at_ns)
    node = inventory.node_of(subject)
    if kind in (SubjectKind.NODE, SubjectKind.NIC, SubjectKind.LINK) and node is not None:
        found = [_of_card(inventory, card, at_ns) for card in inventory.gpus_of(node)]
        found += [_of(inventory, pod, None) for pod in inventory.belonging.pods_on(node)]
        return frozenset().union(*found)
    return frozenset({UNKNOWN}) if kind is SubjectKind.RANK else frozenset()


def _of_card(inventory: Inventory, card: Subject, at_ns: int | None) -> frozenset[str]:
    facts = inventory.facts.get(card)
    if facts is None:
        return frozenset({UNKNOWN})
    found = set(spoken_of(facts))
    pod, job = inventory.pod_of(card), inventory.job_of(card)
    if pod is not None:
        found |= inventory.belonging.of(pod) or set()
    if not found and job is not None:
        found |= inventory.belonging.of(job) or set()
    if not found and any(key in facts.attributes for key in HOLDER_KEYS):
        found.add(UNKNOWN)
    if at_ns is not None:
        found |= _held_before(inventory, card, at_ns)
    return frozenset(found)


def _held_before(inventory: Inventory, card: Subject, at_ns: int) -> set[str]:
    """Who held a card at a time that lies before its present holder's."""
    if at_ns < inventory.known_since_ns.get(card, 0) - SLACK_NS:
        return {UNKNOWN}
    before = {
        key: inventory.value_at(card, key, at_ns)
        for key in ("namespace", "pods", "pod_uid")
        if at_ns < inventory.since_ns(card, key)  # what holds now has been counted; looking back costs more
    }
    held = {key: value for key in ("namespace", "pods") if (value := before.get(key))}
    found = set(spoken_of(SubjectFacts(card, "", None, held)))
    uid = before.get("pod_uid")
    if uid and not found:
        found |= inventory.belonging.of(Subject(card.cluster, SubjectKind.POD, uid)) or {UNKNOWN}
    return found


def held_since_ns(inventory: Inventory, card: Subject) -> int:
    """Since when the present holder of a card is known to hold it, Unix ns."""
    return max((fact.since_ns for key in HOLDER_KEYS if (fact := inventory.fact(card, key)) is not None), default=0)
