import pytest

from agent.web.peers import peers_of
from collectors.model import Subject, SubjectFacts, SubjectKind
from detectors.model import Inventory


def subject(kind: SubjectKind, id_: str) -> Subject:
    return Subject("c", kind, id_)


def inventory(jobs: list[str]) -> tuple[Inventory, list[Subject]]:
    """GPUs on two nodes in turn, each with its job; empty: unknown."""
    gpus = [subject(SubjectKind.GPU, f"g{index}") for index in range(len(jobs))]
    nodes = [subject(SubjectKind.NODE, "n0"), subject(SubjectKind.NODE, "n1")]
    facts = {
        gpu: SubjectFacts(gpu, gpu.id, nodes[index % 2], {"job": job} if job else {})
        for index, (gpu, job) in enumerate(zip(gpus, jobs, strict=True))
    }
    return Inventory(facts=facts | {node: SubjectFacts(node, node.id) for node in nodes}), gpus


@pytest.mark.parametrize(
    ("jobs", "expected"),
    [
        pytest.param(["a", "a", "b", "a"], [1, 3], id="of the same job, on whatever node"),
        pytest.param(["", "", "", "b"], [2], id="of the same node where no job is known"),
        pytest.param(["a"], [], id="alone"),
    ],
)
def test_peers_are_the_gpus_of_the_job_else_of_the_node(jobs: list[str], expected: list[int]) -> None:
    known, gpus = inventory(jobs)

    assert peers_of(known, gpus[0]) == [gpus[index] for index in expected]


def test_a_jobs_peers_are_all_its_gpus() -> None:
    known, gpus = inventory(["a", "b", "a"])

    assert peers_of(known, subject(SubjectKind.JOB, "a")) == [gpus[0], gpus[2]]


def test_an_unknown_subject_has_none() -> None:
    known, _ = inventory(["a", "a"])

    assert peers_of(known, subject(SubjectKind.GPU, "elsewhere")) == []
