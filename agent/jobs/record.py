"""What is kept of one attempt of a job: one row of the store, and all that a restarted agent needs to go on."""

from enum import StrEnum

import msgspec

from collectors.model import Origin, Subject
from detectors.goodput import Account, Cause
from detectors.model import FindingKind


class AttemptState(StrEnum):
    """How an attempt stands, as its log and the findings about it tell."""

    STARTING = "starting"
    """No step yet."""
    RUNNING = "running"
    FAILED = "failed"
    """A fault, and no step since."""
    ENDED = "ended"
    """Its log says that it ended in good order."""
    REPLACED = "replaced"
    """Another attempt has begun, and nothing told that this one failed: rolled back, stopped or preempted."""
    GONE = "gone"
    """Nothing more was heard."""


class SaveState(StrEnum):
    """How far a checkpoint's save came."""

    SAVING = "saving"
    COMPLETE = "complete"
    ASSUMED = "assumed"
    """The log never says when a save is over, and a step has followed: taken for complete."""
    TORN = "torn"
    """The job died, or began anew, before the save was over."""


class Checkpoint(msgspec.Struct, omit_defaults=True):
    """A checkpoint as the log tells of it."""

    step: int | None
    state: SaveState
    started_ns: int | None = None
    ended_ns: int | None = None
    path: str = ""
    """Hostile text: from the log."""

    @property
    def good(self) -> bool:
        """Whether one may restart from it."""
        return self.state in (SaveState.COMPLETE, SaveState.ASSUMED)


class Fault(msgspec.Struct, frozen=True, omit_defaults=True):
    """The incident that an attempt had last, by its root: the first fault in causal order."""

    incident: str
    kind: FindingKind
    title: str
    subject: Subject
    since_ns: int
    opened_ns: int
    names: dict[str, str] = {}
    node_id: str = ""
    kinds: tuple[FindingKind, ...] = ()
    codes: tuple[int, ...] = ()
    """Xids that it rests on."""
    signature: str = ""
    """Tells apart faults of one kind: an exception's class, say. Hostile text."""
    deadly: bool = False
    """One of its findings is of a kind that ends jobs."""


class JobNode(msgspec.Struct, frozen=True, omit_defaults=True):
    """A node that the attempt ran on."""

    id: str
    name: str
    driver: str = ""


class PodsSeen(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the pods of a job's owner say since the job died, as counts (`agent.jobs.controller`)."""

    since_ns: int
    """When something last happened to any of them, by the agent's clock, Unix ns."""
    running: int = 0
    """Of the attempt that died, as are the next four."""
    waiting: int = 0
    gone: int = 0
    gone_because: str = ""
    """`ended`, `deleted`, `no longer in the cluster`: what most of them are gone by."""
    restarted: int = 0
    """Pods in which a container began anew after the death."""
    anew_running: int = 0
    """Made after the death, or of a later attempt of the owner, as are the next two."""
    anew_waiting: int = 0
    anew_gone: int = 0
    anew_since_ns: int = 0
    """When the first of these was seen; 0: none was."""
    attempt: int = 0
    """The owner's highest number of an attempt."""


class RevisionRecord(msgspec.Struct, frozen=True):
    """The ledger divided time anew because a finding reached back behind the moment at which it became known."""

    time_ns: int
    finding: str
    cause: Cause
    moved_seconds: float
    too_late_seconds: float


class AttemptRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """One attempt as of `as_of_ns`. Times are Unix ns by the agent's clock; the log's own are held within it."""

    origin: Origin
    cluster: str
    job: str
    """The job's id."""
    number: int
    """From 1."""
    name: str
    state: AttemptState
    started_ns: int
    as_of_ns: int
    account: Account
    began_because: str = ""
    ended_ns: int | None = None
    base: str = ""
    """Name of the ledger's base state, to go on from after a restart."""
    gpus: int | None = None
    world_size: int | None = None
    nodes: tuple[JobNode, ...] = ()
    image: str = ""
    first_step: int | None = None
    last_step: int | None = None
    last_step_ns: int = 0
    peak_step: int | None = None
    """The highest step of the attempts before it, where steps up to it are made again."""
    pace_ns: int | None = None
    """The job's own best, ns a step."""
    usual_gap_ns: int | None = None
    failed_since_ns: int | None = None
    saves: tuple[Checkpoint, ...] = ()
    """The newest few of the job, earlier attempts' included, oldest first."""
    says_save_ends: bool = False
    fault: Fault | None = None
    first_rank: str = ""
    followed: int = 0
    """Ranks that reported a failure after the first."""
    notes: tuple[str, ...] = ()
    revisions: tuple[RevisionRecord, ...] = ()
    revised_seconds: float = 0.0
    owner: str = ""
    """Key of what owns its pods in Kubernetes; empty: unknown."""
    namespaces: tuple[str, ...] = ()
    """Kubernetes namespaces of its pods, as `Finding.namespaces`."""
    pods: PodsSeen | None = None
    """Where it died: what its owner's pods say since; None: they are not known."""

    @property
    def key(self) -> tuple[str, str, str, int]:
        """Origin, cluster, job and number: the row's primary key."""
        return (self.origin.value, self.cluster, self.job, self.number)

    @property
    def last_good(self) -> Checkpoint | None:
        """The newest checkpoint that is whole."""
        return next((save for save in reversed(self.saves) if save.good), None)

    @property
    def goodput(self) -> float | None:
        """Time share times throughput share, 0 to 1; None while the pace is unknown."""
        return self.account.goodput(self.pace_ns)
