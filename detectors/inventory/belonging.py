"""Which Kubernetes namespaces a thing belongs to, as far as pods and collectors say.

A pod belongs to its namespace, a job to those of its pods and of the cards that work for it, a card to whoever holds
it, a node to all who hold one of its cards or have a pod with GPUs there. What is wider than a node belongs to nobody.
What is held by somebody of whom no namespace is known belongs to UNKNOWN as well, and nobody may read that by a right
in a namespace.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from collectors.model import Subject, SubjectFacts, SubjectKind

if TYPE_CHECKING:
    from detectors.model.inventory import Inventory

UNKNOWN = ""
"""No namespace of Kubernetes is called so."""
MOST_REMEMBERED = 100_000
"""Jobs and pods whose namespace is kept; the oldest are forgotten first, and are of unknown ones then."""
SLACK_NS = 120 * 1_000_000_000
"""A card's first word may come so much later than what it is about: the first looks of a collector, a restart."""
HOLDER_KEYS = ("namespace", "pods", "pod_uid", "job")
"""Attributes of a card that somebody works on."""


def spoken_of(facts: SubjectFacts) -> frozenset[str]:
    """The namespaces that one subject's own facts name; of a card that several pods share, UNKNOWN where one is cut."""
    attributes = facts.attributes
    found = set(_split(attributes.get("namespace", "")))
    for pod in attributes.get("pods", "").split(","):
        if pod:
            namespace, slash, _ = pod.partition("/")
            found.add(namespace if slash else UNKNOWN)
    return frozenset(found)


def joined(namespaces: Iterable[str]) -> str:
    """Several as one text; a comma is no letter of a namespace's name."""
    return ",".join(sorted(set(namespaces)))


def _split(text: str) -> list[str]:
    return text.split(",") if text else []


@dataclass(slots=True)
class Belonging:
    """What is remembered of jobs and pods, also once they hold no card any more."""

    most: int = MOST_REMEMBERED
    _of: dict[Subject, frozenset[str]] = field(default_factory=dict)
    _sets: dict[frozenset[str], frozenset[str]] = field(default_factory=dict)
    """Each set once: a namespace has thousands of pods."""
    _pods_on: dict[Subject, dict[Subject, None]] = field(default_factory=dict)
    """Pods by the node that they run on."""
    _home: dict[Subject, Subject] = field(default_factory=dict)

    def note(self, facts: SubjectFacts) -> None:
        """Take in what holds of a card, a pod or a job now."""
        subject = facts.subject
        if subject.kind not in (SubjectKind.GPU, SubjectKind.POD, SubjectKind.JOB):
            return
        said = spoken_of(facts)
        if subject.kind is not SubjectKind.GPU:
            self._add(subject, said)
        if subject.kind is SubjectKind.POD:
            self._place(subject, facts.node)
        job = facts.attributes.get("job")
        if job and subject.kind is not SubjectKind.JOB:
            # a pod whose name is not known yet says it soon; a process without a pod never does
            named = said or frozenset(() if "pod_uid" in facts.attributes else (UNKNOWN,))
            self._add(Subject(subject.cluster, SubjectKind.JOB, job), named)

    def of(self, subject: Subject) -> frozenset[str] | None:
        """Of a job or a pod; None where nobody has told."""
        return self._of.get(subject)

    def pods_on(self, node: Subject) -> tuple[Subject, ...]:
        """The pods with GPUs of a node."""
        return tuple(self._pods_on.get(node, ()))

    def leave(self, pod: Subject) -> None:
        """A pod runs on no node any more."""
        self._place(pod, None)

    def _add(self, subject: Subject, said: frozenset[str]) -> None:
        held = self._of.get(subject, frozenset())
        if said <= held:
            return
        known = held | said
        self._of[subject] = self._sets.setdefault(known, known)
        while len(self._of) > self.most:
            del self._of[next(iter(self._of))]

    def _place(self, pod: Subject, node: Subject | None) -> None:
        before = self._home.pop(pod, None)
        if before is not None and before != node:
            on = self._pods_on.get(before, {})
            on.pop(pod, None)
            if not on:
                self._pods_on.pop(before, None)
        if node is not None:
            self._home[pod] = node
            self._pods_on.setdefault(node, {})[pod] = None


def namespaces_at(inventory: "Inventory", subject: Subject, at_ns: int | None = None) -> tuple[str, ...]:
    """The namespaces that a subject belongs to, sorted, UNKNOWN among them; () where it belongs to nobody.

    `at_ns`: of a card also whoever held it then, and UNKNOWN where the card was not known at that time.
    """
    return tuple(sorted(_of(inventory, subject, at_ns)))


def _of(inventory: "Inventory", subject: Subject, at_ns: int | None) -> frozenset[str]:
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


def _of_card(inventory: "Inventory", card: Subject, at_ns: int | None) -> frozenset[str]:
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


def _held_before(inventory: "Inventory", card: Subject, at_ns: int) -> set[str]:
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


def held_since_ns(inventory: "Inventory", card: Subject) -> int:
    """Since when the present holder of a card is known to hold it, Unix ns."""
    return max((fact.since_ns for key in HOLDER_KEYS if (fact := inventory.fact(card, key)) is not None), default=0)
