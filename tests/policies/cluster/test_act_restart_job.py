"""A batch/v1 Job restarts as a gang under the real Job controller: once, whole, and without spending an attempt."""

from typing import Any

import pytest
from acting import Act, refused

from policies.cluster.jobs.gang import RESTARTED, SUSPENDED
from policies.cluster.marks import mark
from policies.journal import StepState
from policies.plan import StepKind
from testcluster import objects
from testcluster.admin import Admin, Object
from testcluster.space import Space, completion_index


def uids(pods: list[Object]) -> set[str]:
    return {pod["metadata"]["uid"] for pod in pods}


def run(cluster: Space, mode: str, pods: int = 3, backoff: int = 0, **more: Any) -> tuple[Object, list[Object]]:
    """A Job whose one failed pod would be its end, and its pods."""
    make = objects.indexed_job if mode == "Indexed" else objects.plain_job
    job = make("train", cluster.namespace, pods, 2, nodeSelector=cluster.selector, **more)
    job["spec"]["backoffLimit"] = backoff
    made = cluster.admin.create(job)
    return made, cluster.running("app=train", pods)


def job_of(cluster: Space) -> Object:
    return cluster.admin.get("Job", "train", cluster.namespace)


@pytest.mark.parametrize("mode", ["NonIndexed", "Indexed"])
def test_a_job_that_may_not_fail_once_is_restarted_whole(mode: str, act: Act, cluster: Space) -> None:
    cluster.add_nodes(2)
    job, before = run(cluster, mode)

    restart = act(StepKind.RESTART_JOB, job)
    ended = restart.run()

    after = cluster.running("app=train", 3)
    assert ended.state is StepState.DONE
    assert "suspended until its pods were gone; resumed" in ended.detail
    assert uids(before) & uids(after) == set()
    if mode == "Indexed":
        assert [completion_index(pod) for pod in after] == [0, 1, 2]
    status = job_of(cluster)["status"]
    assert status.get("failed", 0) == 0
    assert [one["type"] for one in status["conditions"] if one["status"] == "True"] == []
    assert restart.run().changed is False
    assert uids(cluster.running("app=train", 3)) == uids(after)


def test_no_pod_of_the_new_gang_meets_one_of_the_old(act: Act, cluster: Space) -> None:
    cluster.add_nodes(2)
    job, before = run(cluster, "Indexed", pod_annotations=objects.ends_after("1s"))
    restart = act(StepKind.RESTART_JOB, job)
    mixed = []

    def watch(look: object) -> bool:
        found = uids(cluster.admin.list("Pod", cluster.namespace))
        mixed.append(bool(found & uids(before)) and bool(found - uids(before)))
        return False

    assert restart.run(until=watch).state is StepState.DONE
    assert len(mixed) > 3
    assert not any(mixed)


def test_what_has_completed_stays_completed(act: Act, cluster: Space) -> None:
    cluster.add_nodes(2)
    job, pods = run(cluster, "Indexed")
    first = pods[0]["metadata"]["name"]
    cluster.admin.patch("Pod", first, {"status": {"phase": "Succeeded"}}, cluster.namespace, subresource="status")
    cluster.admin.wait("Job", "train", lambda job: job["status"].get("completedIndexes") == "0", cluster.namespace)

    restart = act(StepKind.RESTART_JOB, job)
    assert restart.run().state is StepState.DONE

    after = cluster.running("app=train", 2)
    assert [completion_index(pod) for pod in after] == [1, 2]
    assert job_of(cluster)["status"]["completedIndexes"] == "0"
    assert restart.verify().detail == f"Job {cluster.namespace}/train runs again with 2 pods"


def test_a_gang_that_does_not_find_room_is_told_of(act: Act, admin: Admin, cluster: Space) -> None:
    names = cluster.add_nodes(2)
    job, _ = run(cluster, "Indexed")
    for name in names:
        admin.cordon(name)
    restart = act(StepKind.RESTART_JOB, job)
    assert restart.run().state is StepState.DONE
    cluster.admin.wait_list("Pod", lambda pods: len(pods) == 3, cluster.namespace)

    soon = restart.verify()
    restart.now_ns += 1000 * 10**9
    late = restart.verify()

    assert (soon.state, late.state) == (StepState.RUNNING, StepState.FAILED)
    assert "0 of 3 pods run; waiting: " in late.detail


def test_a_pod_that_never_ends_does_not_keep_the_job_suspended(act: Act, cluster: Space) -> None:
    cluster.add_nodes(2)
    job, before = run(cluster, "Indexed", pod_labels=objects.NEVER_ENDS)

    restart = act(StepKind.RESTART_JOB, job, arguments={"suspend_seconds": "30"})
    ended = restart.run()

    assert ended.state is StepState.DONE
    assert "did not wait for" in ended.detail
    assert before[0]["metadata"]["name"] in ended.detail
    assert job_of(cluster)["spec"]["suspend"] is False


def test_a_job_that_a_person_suspended_stays_so(act: Act, admin: Admin, cluster: Space) -> None:
    cluster.add_nodes(2)
    job, _ = run(cluster, "Indexed")
    admin.patch("Job", "train", {"spec": {"suspend": True}}, cluster.namespace)

    ended = act(StepKind.RESTART_JOB, job).run()

    assert (ended.state, ended.changed) == (StepState.SKIPPED, False)
    assert job_of(cluster)["spec"]["suspend"] is True


def test_a_person_who_resumes_in_between_is_not_fought(act: Act, admin: Admin, cluster: Space) -> None:
    cluster.add_nodes(2)
    job, _ = run(cluster, "Indexed", pod_annotations=objects.ends_after("30s"))
    restart = act(StepKind.RESTART_JOB, job)
    restart.run(until=lambda look: look.changed)
    admin.patch("Job", "train", {"spec": {"suspend": False}}, cluster.namespace)

    ended = restart.run()

    assert ended.state is StepState.DONE
    assert "resumed by somebody else meanwhile" in ended.detail
    noted = job_of(cluster)["metadata"]["annotations"]
    assert (noted.get(SUSPENDED), noted[RESTARTED]) == (None, mark(restart.plan))


def test_a_job_that_has_failed_cannot_be_restarted_and_the_step_says_why(
    act: Act, admin: Admin, cluster: Space
) -> None:
    cluster.add_nodes(2)
    job, pods = run(cluster, "Indexed")
    failed = pods[0]["metadata"]["name"]
    admin.patch("Pod", failed, {"status": {"phase": "Failed"}}, cluster.namespace, subresource="status")
    admin.wait(
        "Job",
        "train",
        lambda job: any(one["type"] == "Failed" for one in job["status"].get("conditions", [])),
        cluster.namespace,
    )

    ended = act(StepKind.RESTART_JOB, job).run()

    assert ended.state is StepState.FAILED
    assert "(BackoffLimitExceeded): what has ended cannot be restarted; create it anew" in ended.detail


def test_the_same_steps_planned_anew_restart_it_anew(act: Act, cluster: Space) -> None:
    cluster.add_nodes(2)
    job, before = run(cluster, "Indexed")
    first = act(StepKind.RESTART_JOB, job)
    first.run()
    between = cluster.running("app=train", 3)

    second = act(StepKind.RESTART_JOB, job, made_ns=first.plan.made_ns + 3600 * 10**9)
    second.run()

    assert first.plan.id == second.plan.id
    assert uids(cluster.running("app=train", 3)) & (uids(before) | uids(between)) == set()


def test_a_job_that_is_gone_is_skipped(act: Act, admin: Admin, cluster: Space) -> None:
    cluster.add_nodes(1)
    job, _ = run(cluster, "Indexed", pods=1)
    admin.delete("Job", "train", cluster.namespace, propagationPolicy="Background")

    assert act(StepKind.RESTART_JOB, job).run().state is StepState.SKIPPED


def test_another_job_under_the_same_name_is_left_alone(act: Act, admin: Admin, cluster: Space) -> None:
    cluster.add_nodes(1)
    job, _ = run(cluster, "Indexed", pods=1)
    admin.delete("Job", "train", cluster.namespace, propagationPolicy="Background")
    admin.wait_gone("Job", "train", cluster.namespace)
    run(cluster, "Indexed", pods=1)

    assert "another one under the same name" in refused(act(StepKind.RESTART_JOB, job))
