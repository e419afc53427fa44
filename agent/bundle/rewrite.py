"""What leaves in a bundle: secrets masked once more, and, where asked for, every name replaced."""

from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from agent.bundle.names import Names
from collectors.masking import mask
from collectors.model import Batch, Event, Subject, SubjectFacts, SubjectKind

KIND_OF = {
    SubjectKind.CLUSTER: "cluster",
    SubjectKind.RACK: "rack",
    SubjectKind.SWITCH: "switch",
    SubjectKind.NODE: "node",
    SubjectKind.GPU: "gpu",
    SubjectKind.POD: "pod",
    SubjectKind.JOB: "job",
}
NAMES_IN = {
    "uuid": "gpu",
    "job": "job",
    "owner": "job",
    "pod": "pod",
    "pod_uid": "pod",
    "namespace": "namespace",
    "container": "other",
    "rack": "rack",
    "nvlink_domain": "switch",
    "pool": "pool",
    "boot_id": "boot",
    "node": "node",
    "image": "other",
}
"""Attributes of facts, and keys of documents, that hold a name, and of what."""
_FIGURES = """
index pci_bus_id model power_limit_watts slowdown_celsius memory_total_bytes rank pid world_size driver attempt phase
cordoned gpu created restarts
"""
FIGURES = frozenset(_FIGURES.split())
"""Attributes of facts that hold none. Whatever is in neither set is taken for a name."""
_WORDS = "kind kinds severity state origin source metric unit verdict mode rule guard confidence format made_by"
WORDS = frozenset(_WORDS.split())
"""Keys of documents whose values are the project's own words."""


class Rewriter:
    """Applies masks and, with `names`, replacements."""

    def __init__(self, names: Names | None = None) -> None:
        self.names = names
        self._subjects: dict[Subject, Subject] = {}

    def text(self, text: str) -> str:
        """Free text: a line, a summary."""
        masked = mask(text)
        return self.names.text(masked) if self.names is not None else masked

    def subject(self, subject: Subject) -> Subject:
        """A key."""
        if self.names is None:
            return subject
        new = self._subjects.get(subject)
        if new is None:
            id_ = self.names.id(subject.id)
            new = self._subjects[subject] = Subject(self.names.id(subject.cluster), subject.kind, id_)
        return new

    def batch(self, batch: Batch) -> Batch:
        """One batch; its readings stay as they are."""
        batch = replace(
            batch,
            events=tuple(self._event(event) for event in batch.events),
            facts=tuple(self.facts(one) for one in batch.facts),
            suspicion=self.text(batch.suspicion),
        )
        if self.names is None:
            return batch
        return replace(
            batch,
            node=self.subject(batch.node),
            subjects=tuple(self.subject(one) for one in batch.subjects),
            boot_id=self.names.id(batch.boot_id),
            spool_id=self.names.id(batch.spool_id),
        )

    def facts(self, facts: SubjectFacts) -> SubjectFacts:
        """What is known of one subject."""
        attributes = {key: self._attribute(key, value) for key, value in facts.attributes.items()}
        name = facts.name if self.names is None else self.names.id(facts.name)
        node = self.subject(facts.node) if facts.node is not None else None
        return SubjectFacts(self.subject(facts.subject), name, node, attributes)

    def document(self, value: Any, key: str = "") -> Any:
        """A document made of dicts, lists and plain values (`msgspec.to_builtins`)."""
        if isinstance(value, dict):
            return {self._key(k): self.document(v, k) for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.document(one, key) for one in value]
        if not isinstance(value, str) or key in WORDS:
            return value
        return self.text(value)

    def _key(self, key: str) -> str:
        """Keys are our own words, but for dicts by name of job (`gpus`)."""
        return key if self.names is None else self.names.whole(key)

    def _event(self, event: Event) -> Event:
        return replace(
            event,
            subject=self.subject(event.subject),
            attributes={key: self.text(value) for key, value in event.attributes.items()},
            line=self.text(event.line),
        )

    def _attribute(self, key: str, value: str) -> str:
        if self.names is None:
            return mask(value)
        if key in FIGURES:
            return value
        return ",".join(self.names.id(part) for part in value.split(","))


def note_batch(names: Names, batch: Batch) -> None:
    """Gather what one batch calls things."""
    note_subjects(names, (batch.node, *batch.subjects, *(event.subject for event in batch.events)))
    names.note("boot", batch.boot_id)
    names.note("spool", batch.spool_id)
    for facts in batch.facts:
        note_facts(names, facts)
    for event in batch.events:
        note_namespaces(names, event)


def note_namespaces(names: Names, event: Event) -> None:
    """Gather the namespaces that an event of the store bears."""
    for namespace in event.attributes.get("namespace", "").split(","):
        names.note("namespace", namespace)


def note_subjects(names: Names, subjects: Iterable[Subject]) -> None:
    """Gather ids."""
    for subject in subjects:
        names.note("cluster", subject.cluster)
        names.note(KIND_OF.get(subject.kind, "other"), subject.id)


def note_facts(names: Names, facts: SubjectFacts) -> None:
    """Gather what is known by name."""
    note_subjects(names, (facts.subject, *((facts.node,) if facts.node is not None else ())))
    if facts.subject.kind is SubjectKind.POD:
        namespace, _, name = facts.name.rpartition("/")
        names.note("namespace", namespace)
        names.note("pod", name)
    elif facts.subject.kind is not SubjectKind.GPU or facts.name == facts.subject.id:
        names.note(KIND_OF.get(facts.subject.kind, "other"), facts.name)
    for key, value in facts.attributes.items():
        if key in FIGURES:
            continue
        for part in value.split(","):
            if key == "pods":
                namespace, _, name = part.rpartition("/")
                names.note("namespace", namespace)
                names.note("pod", name)
            else:
                names.note(NAMES_IN.get(key, "other"), part)


def note_names(names: Names, said: dict[str, str]) -> None:
    """Gather what a finding or an incident calls things (`Finding.names`)."""
    for key, name in said.items():
        if key not in FIGURES:
            names.note(NAMES_IN.get(key, "other"), name)
