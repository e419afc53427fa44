"""Which Kubernetes namespaces pods and jobs belong to, as far as pods and collectors say; kept by the inventory."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from collectors.model import Subject, SubjectFacts, SubjectKind

UNKNOWN = ""
"""No namespace of Kubernetes is called so."""
MOST_REMEMBERED = 100_000
"""Jobs and pods whose namespace is kept; the oldest are forgotten first, and are of unknown ones then."""


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
