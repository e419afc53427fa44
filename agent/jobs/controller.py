"""What a job's controller is doing about it, told from its pods: the inventory has them where Kubernetes is watched.

Nobody asks the controller itself (Job, JobSet, PyTorchJob ...): whether it restarts a job shows in the pods that it
makes. A pod belongs to an owner and an attempt (`agent.inventory.labels`), and stays readable once it is gone.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from agent.api.words import duration, utc
from agent.jobs.record import AttemptRecord, PodsSeen
from collectors.model import Subject, SubjectKind
from detectors.model import Inventory

LOOK_EVERY_NS = 10 * 10**9
"""All pods are gone through at most so often, and only while a job lies dead: 40,000 take 20 ms."""
WAITING_PHASES = frozenset({"Pending", ""})


@dataclass(frozen=True, slots=True)
class PodLine:
    """One pod, as far as it matters here."""

    attempt: int
    phase: str
    """As the API says it; `gone` once it has ended or been deleted."""
    because: str
    made_ns: int
    """When it was made, by the cluster's clock; where that does not say, when it was first seen."""
    changed_ns: int
    """When something last happened to it: made, its phase changed, a container of it began anew, gone."""
    restarted_ns: int
    """When a container of it last began anew, as far as known; 0: never."""


@dataclass(slots=True)
class Pods:
    """The pods of each owner; gone through anew when the inventory has changed and the last time is long enough ago."""

    _by_owner: dict[str, list[PodLine]] = field(default_factory=dict)
    _generation: int = -1
    _read_ns: int = -(2**62)

    def of(self, owner: str, inventory: Inventory, now_ns: int) -> list[PodLine]:
        """All pods that this owner has or had, as far as remembered."""
        if inventory.generation != self._generation and now_ns - self._read_ns >= LOOK_EVERY_NS:
            self._generation, self._read_ns = inventory.generation, now_ns
            self._by_owner = {}
            for subject, facts in inventory.facts.items():
                if subject.kind is SubjectKind.POD:
                    key, attempt = owner_of(facts.attributes.get("job", ""))
                    if key:
                        self._by_owner.setdefault(key, []).append(_line(inventory, subject, attempt))
        return self._by_owner.get(owner, [])


def owner_of(job: str) -> tuple[str, int]:
    """Owner and attempt of a job's id as Kubernetes gives it (`<owner>/<attempt>`); an empty owner for any other."""
    owner, _, attempt = job.rpartition("/")
    return (owner, int(attempt)) if owner and attempt.isascii() and attempt.isdigit() and len(attempt) < 10 else ("", 0)


def job_by_pods(cards: Iterable[Subject], inventory: Inventory) -> str:
    """Id of the job whose pods hold these cards, as Kubernetes has it: the job of most; empty where none is known."""
    counts: dict[str, int] = {}
    for card in cards:
        pod = inventory.pod_of(card)
        job = (inventory.attribute(pod, "job") or "") if pod is not None else ""
        if owner_of(job)[0]:
            counts[job] = counts.get(job, 0) + 1
    return max(counts, key=lambda job: (counts[job], job), default="")


def seen(pods: Iterable[PodLine], died_ns: int) -> PodsSeen | None:
    """What the pods of one owner say about the time since its job died; None where there are none.

    Anew is what was made after the death. An owner's number of the attempt alone does not tell: pods that live on are
    counted to the next one too.
    """
    lines = list(pods)
    if not lines:
        return None
    anew = [line for line in lines if line.made_ns > died_ns]
    old = [line for line in lines if line.made_ns <= died_ns]
    there = [line for line in anew if line.phase != "gone"]
    return PodsSeen(
        since_ns=max(line.changed_ns for line in lines),
        running=sum(line.phase == "Running" for line in old),
        waiting=sum(line.phase in WAITING_PHASES for line in old),
        gone=sum(line.phase == "gone" for line in old),
        gone_because=_most([line.because for line in old if line.phase == "gone"]),
        restarted=sum(line.restarted_ns > died_ns for line in old),
        anew_running=sum(line.phase == "Running" for line in there),
        anew_waiting=sum(line.phase in WAITING_PHASES for line in there),
        anew_gone=len(anew) - len(there),
        anew_since_ns=min((line.made_ns for line in anew), default=0),
        attempt=max(line.attempt for line in lines),
    )


def restarting(died: AttemptRecord | None, after: AttemptRecord | None) -> str:
    """Whether its controller is restarting a job that died, and what tells."""
    if died is None:
        return "not needed"
    if after is not None:
        return f"yes: attempt {after.number} began on {utc(after.started_ns)} ({after.began_because})"
    pods = died.pods
    if pods is None:
        if died.owner:
            return "unknown: none of its pods is remembered"
        return "unknown: its pods are not known, so nothing tells (inventory.kubernetes lists and watches them)"
    for_s = duration(max(0, died.as_of_ns - pods.since_ns) / 1e9)
    if pods.anew_running or pods.anew_waiting:
        what = _counted(pods.anew_running, "running", pods.anew_waiting, "pending")
        return (
            f"yes: since {utc(pods.anew_since_ns)} its pods are made anew, {what} (attempt {pods.attempt} of its owner)"
        )
    if pods.restarted:
        return f"yes: containers of {_pods(pods.restarted)} began anew where they are; no step is made yet"
    quiet = f"nothing has happened to its pods for {for_s}"
    if pods.running or pods.waiting:
        there = _counted(pods.running, "running", pods.waiting, "pending")
        return f"not yet: of its pods {there} still, so its controller does not take it for failed; {quiet}"
    if pods.anew_gone:
        return f"no longer: {_pods(pods.anew_gone)} made anew since it died are gone again; {quiet}"
    return f"no sign of it: all its pods are gone ({pods.gone_because}), none is made anew; {quiet}"


def _line(inventory: Inventory, subject: Subject, attempt: int) -> PodLine:
    known_ns = inventory.known_since_ns.get(subject, 0)
    made_ns = _unix_ns(inventory.attribute(subject, "created") or "") or known_ns
    gone = inventory.gone.get(subject)
    # what it was at first sight it may have been for long: only what changed since has a time
    since = [fact.since_ns for key in ("phase", "restarts") if (fact := inventory.fact(subject, key)) is not None]
    changes = [since_ns for since_ns in since if since_ns > known_ns]
    restarts = inventory.fact(subject, "restarts")
    restarted_ns = restarts.since_ns if restarts is not None and restarts.since_ns > known_ns else 0
    said = inventory.attribute(subject, "phase") or ""
    because = gone.because if gone is not None else ""
    changed_ns = max([made_ns, *changes, gone.since_ns if gone is not None else 0])
    return PodLine(attempt, "gone" if gone is not None else said, because, made_ns, changed_ns, restarted_ns)


def _unix_ns(text: str) -> int:
    """Of an RFC 3339 time; 0 for anything else."""
    try:
        moment = datetime.fromisoformat(text)
        return int(moment.timestamp() * 1e9) if moment.tzinfo is not None else 0
    except (ValueError, OverflowError):
        return 0


def _most(words: list[str]) -> str:
    """The word said most often."""
    return max(words, key=lambda word: (words.count(word), word), default="")


def _counted(running: int, one: str, waiting: int, other: str) -> str:
    parts = [f"{count} {word}" for count, word in ((running, one), (waiting, other)) if count]
    return " and ".join(parts)


def _pods(count: int) -> str:
    return "1 pod" if count == 1 else f"{count:,} pods"
