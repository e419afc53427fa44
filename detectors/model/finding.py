"""A detector's statement, and the evidence it rests on."""

import msgspec

from collectors.model import Origin, Subject
from detectors.model.kinds import FindingKind, Severity


class Evidence(msgspec.Struct, frozen=True, omit_defaults=True):
    """One observation that a finding rests on: a sentence with its figures, and the figures themselves."""

    text: str
    """A sentence a person can read; text from logs inside it is quoted and hostile."""
    time_ns: int
    metric: str = ""
    """The metric or event kind it was read from."""
    value: float | None = None
    expected: float | None = None
    """What it was held against: a threshold, the subject's own habit, its peers' median."""
    unit: str = ""
    source: str = ""
    """`nvml`, `dcgm`, `kernel_log`, `training_log` or `collector`: two independent ones are needed to act."""
    line: str = ""
    """The log line itself, masked."""


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a detector states about one subject: it opens and it clears. Immutable; a change is a new value, same id."""

    id: str
    """Deterministic: made from kind, subject and `opened_ns`, so that a replay gives the same ids."""
    kind: FindingKind
    subject: Subject
    severity: Severity
    opened_ns: int
    """When it became known, by the agent's clock, Unix ns."""
    since_ns: int
    """When the condition began as far as the detector can tell, Unix ns."""
    confidence: float
    """0 to 1: the share of such statements that the detector expects to be right."""
    summary: str
    """One sentence: what, where, with the figure that matters most."""
    origin: Origin
    evidence: tuple[Evidence, ...] = ()
    cleared_ns: int | None = None
    cleared_because: str = ""
    related: tuple[Subject, ...] = ()
    """Other subjects it touches: the job of a rank, the node of a GPU, the ranks that wait."""
    names: dict[str, str] = {}
    """For people and for JSON: `node`, `gpu` (index), `rank`, `job` by name, where known."""
    namespaces: tuple[str, ...] = ()
    """Kubernetes namespaces of the pods and jobs that it concerns, sorted: who may read it and its evidence. "" stands
    for one that is not known; () where it concerns nobody's."""
    mark: str = ""
    """Tells apart conditions of one kind on one subject that are open side by side: the code of an Xid, say."""
