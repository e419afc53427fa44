"""Whose namespace a thing is, from the batches and the cluster's word down to findings, incidents, events and jobs."""

import pytest
from test_watch_names import NS, T0, Told, of

from agent.incidents.namespaces import of_event, placed
from collectors.model import Event, EventKind, EventSource, Subject, SubjectFacts, SubjectKind
from detectors.inventory import UNKNOWN
from detectors.model import Inventory
from detectors.model.namespaces import namespaces_at

NODE, CARD = of(SubjectKind.NODE, "n1"), of(SubjectKind.GPU, "g1")
JOB = of(SubjectKind.JOB, "job-a/0")
POD_A, POD_B = of(SubjectKind.POD, "pod-a"), of(SubjectKind.POD, "pod-b")


def xid(card: Subject, time_ns: int, code: int = 79, **attributes: str) -> Event:
    return Event(EventKind.XID, card, time_ns, EventSource.KERNEL_LOG, {"code": code}, attributes, "NVRM: Xid 79")


def pod_of(pod: Subject, namespace: str, job: str) -> tuple[SubjectFacts, ...]:
    """As the cluster tells of a pod and its job."""
    return (
        SubjectFacts(pod, f"{namespace}/{pod.id}", NODE, {"namespace": namespace, "job": job}),
        SubjectFacts(of(SubjectKind.JOB, job), job, None, {"owner": job, "namespace": namespace}),
    )


def kept(told: Told, event: Event) -> Event:
    return placed(event, told.watch.engine.inventory)


def test_a_finding_its_incident_and_the_event_bear_the_namespace_of_who_held_the_card() -> None:
    told = Told()
    told.says(*pod_of(POD_A, "team-a", JOB.id))
    told.card("g1", "n1", "node-1", pod_uid="pod-a", namespace="team-a", job=JOB.id)
    told.passes(200)
    told.card("g1", "n1", "node-1", xid(CARD, told.now_ns), pod_uid="pod-a", namespace="team-a", job=JOB.id)
    told.passes(20)

    assert {finding.namespaces for finding in told.findings.values()} == {("team-a",)}
    assert {incident.namespaces for incident in told.incidents.values()} == {("team-a",)}
    assert of_event(kept(told, xid(CARD, told.now_ns))) == ("team-a",)


def test_what_happened_under_the_holder_before_is_of_both() -> None:
    told = Told()
    told.card("g1", "n1", "node-1", pod_uid="pod-a", namespace="team-a", job=JOB.id)
    told.passes(300)
    then_ns = told.now_ns
    told.passes(60)
    told.card("g1", "n1", "node-1", pod_uid="pod-b", namespace="team-b", job="job-b/0")

    assert of_event(kept(told, xid(CARD, then_ns))) == ("team-a", "team-b")
    assert of_event(kept(told, xid(CARD, told.now_ns))) == ("team-b",)
    assert of_event(kept(told, xid(CARD, T0 - 500 * NS))) == (UNKNOWN, "team-b")


def test_a_word_for_its_namespace_that_comes_with_an_event_is_put_away() -> None:
    told = Told()
    told.card("g1", "n1", "node-1", pod_uid="pod-b", namespace="team-b", job="job-b/0")

    assert of_event(kept(told, xid(CARD, told.now_ns, namespace="team-a"))) == ("team-b",)
    assert "namespace" not in kept(told, xid(NODE, told.now_ns, namespace="team-a")).attributes
    assert kept(told, xid(of(SubjectKind.GPU, "never-heard-of"), told.now_ns, namespace="team-a")).attributes == {}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, ()),
        ({"namespace": "team-a", "pod_uid": "pod-a"}, ("team-a",)),
        ({"pod_uid": "pod-a"}, (UNKNOWN,)),
        ({"job": "by-hand", "pid": "17"}, (UNKNOWN,)),
        ({"pods": "team-a/x-0,team-b/y-0"}, ("team-a", "team-b")),
        ({"pods": "team-a/x-0,0b5f-uid"}, (UNKNOWN, "team-a")),
        ({"pods": "team-a/x-0,..."}, (UNKNOWN, "team-a")),
        ({"namespace": "team-a,team-b"}, ("team-a", "team-b")),
    ],
    ids=["free", "held", "pod-without-name", "a-process", "shared", "shared-with-a-stranger", "cut", "comma"],
)
def test_a_card_belongs_to_whoever_holds_it(said: dict[str, str], expected: tuple[str, ...]) -> None:
    told = Told()
    told.card("g1", "n1", "node-1", **said)

    assert namespaces_at(told.watch.engine.inventory, CARD) == expected


def test_the_cluster_and_the_collector_are_both_believed_where_they_disagree() -> None:
    told = Told()
    told.says(*pod_of(POD_A, "team-a", JOB.id))
    told.card("g1", "n1", "node-1", pod_uid="pod-a", namespace="team-lie", job=JOB.id)

    assert namespaces_at(told.watch.engine.inventory, CARD) == ("team-a", "team-lie")
    assert namespaces_at(told.watch.engine.inventory, JOB) == ("team-a", "team-lie")


def test_a_node_belongs_to_all_who_hold_a_card_or_have_a_pod_there_now() -> None:
    told = Told()
    inventory: Inventory = told.watch.engine.inventory
    told.card("g1", "n1", "node-1", pod_uid="pod-a", namespace="team-a", job=JOB.id)
    told.says(*pod_of(POD_B, "team-b", "job-b/0"))
    both = namespaces_at(inventory, NODE)
    told.deletes(POD_B)

    assert (both, namespaces_at(inventory, NODE)) == (("team-a", "team-b"), ("team-a",))
    assert namespaces_at(inventory, of(SubjectKind.NODE, "empty")) == ()
    assert namespaces_at(inventory, of(SubjectKind.RACK, "r1")) == ()


def test_a_job_keeps_its_namespace_when_it_has_let_go_of_its_cards() -> None:
    told = Told()
    told.card("g1", "n1", "node-1", pod_uid="pod-a", namespace="team-a", job=JOB.id)
    told.card("g1", "n1", "node-1")

    assert namespaces_at(told.watch.engine.inventory, JOB) == ("team-a",)
    assert namespaces_at(told.watch.engine.inventory, of(SubjectKind.JOB, "nobody's")) == (UNKNOWN,)
    assert namespaces_at(told.watch.engine.inventory, CARD) == ()


def test_two_jobs_of_one_id_in_two_namespaces_belong_to_both() -> None:
    told = Told()
    told.card("g1", "n1", "node-1", pod_uid="pod-a", namespace="team-a", job="train")
    told.card("g2", "n2", "node-2", pod_uid="pod-b", namespace="team-b", job="train")

    assert namespaces_at(told.watch.engine.inventory, of(SubjectKind.JOB, "train")) == ("team-a", "team-b")


def test_an_attempt_bears_the_namespaces_of_its_job() -> None:
    told = Told()
    told.says(*pod_of(POD_A, "team-a", JOB.id))
    start = Event(EventKind.TRAINING_START, JOB, told.now_ns, EventSource.TRAINING_LOG)
    told.card("g1", "n1", "node-1", start, pod_uid="pod-a", namespace="team-a", job=JOB.id)
    told.passes(60)
    job = told.watch.jobs.job(JOB)

    assert job is not None
    assert job.record(job.attempt, told.now_ns).namespaces == ("team-a",)


def test_outside_kubernetes_nothing_bears_a_namespace() -> None:
    told = Told()
    told.card("g1", "n1", "node-1", job="by-hand", pid="17")
    told.passes(200)
    told.card("g1", "n1", "node-1", xid(CARD, told.now_ns), job="by-hand", pid="17")
    told.passes(20)

    assert {finding.namespaces for finding in told.findings.values()} == {()}
    assert {incident.namespaces for incident in told.incidents.values()} == {()}
    assert "namespace" not in kept(told, xid(CARD, told.now_ns)).attributes
