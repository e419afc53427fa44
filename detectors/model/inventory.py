"""Dated facts about subjects. Thin for now: filled from the batches themselves. Unknown is None, never a guess."""

from dataclasses import dataclass, field

from collectors.model import Batch, Subject, SubjectFacts, SubjectKind


@dataclass(slots=True)
class Inventory:
    """Which GPU sits in which node, and which job and rank it works for, as the collectors have told."""

    facts: dict[Subject, SubjectFacts] = field(default_factory=dict)
    known_since_ns: dict[Subject, int] = field(default_factory=dict)
    generation: int = 0
    """Rises with every change, so that arrays derived from it know when they are stale."""

    def learn(self, batch: Batch, received_ns: int) -> None:
        """Take in what a batch says about its subjects; a subject without facts is known by its key alone."""
        for facts in batch.facts:
            if self.facts.get(facts.subject) != facts:
                self.facts[facts.subject] = facts
                self.known_since_ns[facts.subject] = received_ns
                self.generation += 1
        for subject in (batch.node, *batch.subjects):
            if subject not in self.facts:
                node = batch.node if subject != batch.node else None
                self.facts[subject] = SubjectFacts(subject=subject, name=subject.id, node=node)
                self.known_since_ns[subject] = received_ns
                self.generation += 1

    def attribute(self, subject: Subject, key: str) -> str | None:
        """One attribute of a subject; None where nobody has told."""
        facts = self.facts.get(subject)
        return facts.attributes.get(key) if facts else None

    def node_of(self, subject: Subject) -> Subject | None:
        """The node that a subject sits in."""
        if subject.kind is SubjectKind.NODE:
            return subject
        facts = self.facts.get(subject)
        return facts.node if facts else None

    def job_of(self, subject: Subject) -> Subject | None:
        """The job that a GPU works for."""
        if subject.kind is SubjectKind.JOB:
            return subject
        job = self.attribute(subject, "job")
        return Subject(subject.cluster, SubjectKind.JOB, job) if job else None

    def name_of(self, subject: Subject) -> str:
        """What people call it; its id where nobody has told."""
        facts = self.facts.get(subject)
        return facts.name if facts and facts.name else subject.id

    def names(self, subject: Subject) -> dict[str, str]:
        """`node`, `gpu`, `rank` and `job` of a subject by name, each only where known."""
        found: dict[str, str] = {}
        node, job = self.node_of(subject), self.job_of(subject)
        if node:
            found["node"] = self.name_of(node)
        if subject.kind is SubjectKind.GPU:
            for key, attribute in (("gpu", "index"), ("rank", "rank")):
                value = self.attribute(subject, attribute)
                if value is not None:
                    found[key] = value
        if job:
            found["job"] = self.name_of(job)
        return found

    def gpu_at(self, node: Subject, pci_bus_id: str) -> Subject | None:
        """The GPU of a node at a PCI address, `0000:18:00` or longer, any case; also after it has left the bus."""
        wanted = pci_bus_id.lower().split(".")[0]
        for subject, facts in self.facts.items():
            if subject.kind is SubjectKind.GPU and facts.node == node:
                held = facts.attributes.get("pci_bus_id", "").lower().split(".")[0]
                if held and (held == wanted or held.endswith(wanted) or wanted.endswith(held)):
                    return subject
        return None
