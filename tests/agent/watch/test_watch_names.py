"""Names that are used again and things that move: what is found afterwards is about the right one, and nothing else."""

from dataclasses import dataclass, field

import pytest

from agent.watch import Changes, Watch
from collectors.model import (
    WIRE_VERSION,
    Batch,
    Event,
    EventKind,
    EventSource,
    Origin,
    Subject,
    SubjectFacts,
    SubjectKind,
)
from detectors.inventory import Source
from detectors.model import Finding, Incident, IncidentState

NS = 10**9
T0 = 1_795_000_000 * NS


def of(kind: SubjectKind, id_: str) -> Subject:
    return Subject("c", kind, id_)


@dataclass
class Told:
    """A watch, and what its batches and its cluster tell it."""

    watch: Watch = field(default_factory=lambda: Watch(Origin.LIVE, "c"))
    now_ns: int = T0
    number: int = 0
    findings: dict[str, Finding] = field(default_factory=dict)
    incidents: dict[str, Incident] = field(default_factory=dict)

    def card(self, gpu: str, node: str, name: str, *events: Event, **said: str) -> None:
        """A batch of a node about one card of it."""
        self.number += 1
        home, card = of(SubjectKind.NODE, node), of(SubjectKind.GPU, gpu)
        facts = (SubjectFacts(home, name), SubjectFacts(card, gpu, home, {"index": "0", **said}))
        batch = Batch(
            WIRE_VERSION, Origin.LIVE, home, "boot", "spool", self.number, self.now_ns, (home, card), facts,
            events=events,
        )  # fmt: skip
        self.watch.receive(batch, self.now_ns)
        self.passes(1)

    def passes(self, seconds: float) -> None:
        self.now_ns += int(seconds * NS)
        self._take(self.watch.advance(self.now_ns))

    def says(self, *facts: SubjectFacts) -> None:
        """The cluster's API."""
        self.watch.engine.inventory.tell(Source.KUBERNETES, facts, self.now_ns)

    def deletes(self, subject: Subject) -> None:
        self.watch.engine.inventory.untell(Source.KUBERNETES, subject, self.now_ns, "deleted")

    def xid(self, gpu: str, code: int = 119) -> Event:
        return Event(
            EventKind.XID, of(SubjectKind.GPU, gpu), self.now_ns, EventSource.KERNEL_LOG, {"code": float(code)}
        )

    def about(self, gpu: str) -> list[Finding]:
        return [one for one in self.findings.values() if one.subject == of(SubjectKind.GPU, gpu)]

    def incident(self, finding: Finding) -> Incident:
        return next(one for one in self.incidents.values() if finding.id in one.findings)

    def _take(self, changes: Changes) -> None:
        self.findings.update((one.id, one) for one in changes.findings)
        self.incidents.update((one.id, one) for one in changes.incidents)


@pytest.fixture
def told() -> Told:
    return Told()


def test_faults_in_two_jobs_of_one_name_stay_two_incidents(told: Told) -> None:
    told.says(*(SubjectFacts(of(SubjectKind.JOB, job), "llama") for job in ("uid-1/0", "uid-2/0")))
    for gpu, job in (("GPU-1", "uid-1/0"), ("GPU-2", "uid-2/0")):
        told.card(gpu, f"node-{gpu}", f"name-{gpu}", job=job, rank="0")
    told.card("GPU-1", "node-GPU-1", "name-GPU-1", told.xid("GPU-1"), job="uid-1/0", rank="0")
    told.card("GPU-2", "node-GPU-2", "name-GPU-2", told.xid("GPU-2"), job="uid-2/0", rank="0")

    (one,), (other,) = told.about("GPU-1"), told.about("GPU-2")
    assert one.names["job"] == other.names["job"] == "llama"
    assert told.incident(one).id != told.incident(other).id


def test_a_fault_on_a_card_that_moved_to_another_pod_is_about_that_pods_job(told: Told) -> None:
    for pod, job in (("pod-a", "uid-a/0"), ("pod-b", "uid-b/0")):
        told.says(SubjectFacts(of(SubjectKind.POD, pod), f"train/{pod}", None, {"job": job, "phase": "Running"}))
        told.says(SubjectFacts(of(SubjectKind.JOB, job), job[:5]))
    told.card("GPU-1", "n", "n", pod_uid="pod-a")
    told.passes(60)
    told.card("GPU-1", "n", "n", pod_uid="pod-b")
    told.card("GPU-1", "n", "n", told.xid("GPU-1"), pod_uid="pod-b")

    (found,) = told.about("GPU-1")
    assert found.names["job"] == "uid-b"
    assert of(SubjectKind.JOB, "uid-b/0") in found.related
    assert of(SubjectKind.JOB, "uid-a/0") not in found.related


def test_a_pod_made_anew_under_its_name_takes_the_blame_for_nothing_that_was_before(told: Told) -> None:
    for uid, job in (("uid-old", "own/0"), ("uid-new", "own/1")):
        told.says(SubjectFacts(of(SubjectKind.POD, uid), "train/w-0", None, {"job": job, "phase": "Running"}))
        told.says(SubjectFacts(of(SubjectKind.JOB, job), "llama", None, {"owner": "own"}))
        told.card("GPU-1", "n", "n", told.xid("GPU-1", 13 if job == "own/0" else 119), pod_uid=uid)
        told.deletes(of(SubjectKind.POD, uid))

    by_job = {
        finding.mark: [s.id for s in finding.related if s.kind is SubjectKind.JOB] for finding in told.about("GPU-1")
    }
    assert sorted(by_job.values()) == [["own/0"], ["own/1"]]


def test_a_node_replaced_under_its_name_begins_clean_and_the_old_ones_faults_end_as_gone(told: Told) -> None:
    told.says(SubjectFacts(of(SubjectKind.NODE, "uid-old"), "gpu-7"))
    told.card("GPU-old", "uid-old", "gpu-7", told.xid("GPU-old"))
    (old,) = told.about("GPU-old")
    told.deletes(of(SubjectKind.NODE, "uid-old"))
    told.says(SubjectFacts(of(SubjectKind.NODE, "uid-new"), "gpu-7"))
    told.passes(5)
    told.card("GPU-new", "uid-new", "gpu-7")

    (gone,) = told.about("GPU-old")
    assert gone.cleared_because == "gone: gpu deleted"
    told.card("GPU-new", "uid-new", "gpu-7", told.xid("GPU-new"))
    (new,) = told.about("GPU-new")
    assert (old.names["node"], new.names["node"]) == ("gpu-7", "gpu-7")
    assert told.incident(new).id != told.incident(old).id

    told.passes(60)
    assert told.incident(old).state is IncidentState.RESOLVED
    assert told.incident(new).state is IncidentState.OPEN


def test_after_ranks_are_renumbered_a_fault_names_the_new_rank(told: Told) -> None:
    told.card("GPU-1", "n", "n", job="llama", rank="3")
    told.passes(60)
    told.card("GPU-1", "n", "n", job="llama", rank="7")
    told.card("GPU-1", "n", "n", told.xid("GPU-1"), job="llama", rank="7")

    (found,) = told.about("GPU-1")
    assert found.names["rank"] == "7"
