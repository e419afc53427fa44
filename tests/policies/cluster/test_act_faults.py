"""The API server away, busy, slow, cut off or against us: nothing is lost, nothing is done twice, and it is said."""

from typing import Any

import pytest
from acting import Act, Driver, a_moment, client_of, plan_of, refused, settings, target_of

from collectors.errors import FixConfiguration, GiveUp, RetryLater
from policies.cluster.client import Conflicted, Rejected, TooManyRequests
from policies.cluster.steps import ClusterSteps
from policies.cluster_view import OWN_CORDON
from policies.journal import Stale, StepState
from policies.plan import StepKind
from testcluster import objects
from testcluster.admin import Admin, Object
from testcluster.control_plane import ControlPlane
from testcluster.faulty_proxy import Fault, FaultyProxy
from testcluster.space import Space


def through(cluster: Space, proxy: FaultyProxy, kind: StepKind, thing: Object, **more: Any) -> Driver:
    """A driver of a step whose requests go through the proxy."""
    client = client_of(cluster.plane, proxy.url, read_seconds=more.pop("read_seconds", 5.0))
    plan = plan_of(kind, target_of(thing), more.pop("arguments", None))
    return Driver(ClusterSteps(client, settings(**more)), plan, a_moment)


FAULTS = [
    pytest.param({"status": 409}, Conflicted, id="409 again and again"),
    pytest.param({"status": 429, "headers": {"Retry-After": "7"}}, TooManyRequests, id="429"),
    pytest.param({"status": 500}, RetryLater, id="500"),
    pytest.param({"status": 503}, RetryLater, id="503"),
    pytest.param({"cut_before": True}, RetryLater, id="cut before it arrived"),
    pytest.param({"cut_after": True}, RetryLater, id="cut after it was applied"),
]


@pytest.mark.parametrize(("fault", "error"), FAULTS)
def test_a_write_that_goes_wrong_is_told_and_repeating_it_cordons_once(
    fault: dict[str, Any], error: type[Exception], cluster: Space, proxy: FaultyProxy, admin: Admin, node: Object
) -> None:
    cordon = through(cluster, proxy, StepKind.CORDON, node)
    proxy.add(Fault("PATCH", "/nodes/", times=3 if error is Conflicted else 1, **fault))

    with pytest.raises(error) as told:
        cordon.look()
    ended = cordon.run()

    assert f"PATCH {proxy.url}/api/v1/nodes/{node['metadata']['name']}" in str(told.value)
    assert ended.state is StepState.DONE
    assert len(proxy.writes()) == 1
    found = admin.get("Node", node["metadata"]["name"])
    assert found["metadata"]["annotations"][OWN_CORDON] == cordon.plan.id


def test_the_server_s_own_word_on_when_to_come_back_is_kept(cluster: Space, proxy: FaultyProxy, node: Object) -> None:
    cordon = through(cluster, proxy, StepKind.CORDON, node)
    proxy.add(Fault("GET", "/nodes/", status=429, headers={"Retry-After": "7"}))

    with pytest.raises(TooManyRequests) as told:
        cordon.look()

    assert (told.value.after_seconds, told.value.budget) == (7.0, "")


def test_an_answer_that_comes_too_late_is_a_write_of_which_nothing_is_known(
    cluster: Space, proxy: FaultyProxy, admin: Admin, node: Object
) -> None:
    cordon = through(cluster, proxy, StepKind.CORDON, node, read_seconds=0.5)
    proxy.add(Fault("PATCH", "/nodes/", hold=True))

    with pytest.raises(RetryLater, match="Read timed out"):
        cordon.look()
    again = cordon.run()

    assert (again.state, again.changed) == (StepState.DONE, False)
    assert admin.get("Node", node["metadata"]["name"])["spec"]["unschedulable"] is True


def test_an_eviction_whose_answer_was_cut_is_not_asked_twice(
    cluster: Space, proxy: FaultyProxy, admin: Admin, node: Object
) -> None:
    cluster.run_job("train", pods=2, gpus=2, pod_annotations=objects.ends_after("1s"))
    admin.cordon(node["metadata"]["name"])
    drain = through(cluster, proxy, StepKind.EVICT, node)
    proxy.add(Fault("POST", "/eviction", cut_after=True))

    assert drain.run().state is StepState.DONE
    evicted = [one.path for one in proxy.writes()]
    assert len(evicted) == len(set(evicted)) == 2


def test_a_busy_server_is_not_taken_for_a_budget(
    cluster: Space, proxy: FaultyProxy, admin: Admin, node: Object
) -> None:
    cluster.run_job("train", pods=1, gpus=2)
    admin.cordon(node["metadata"]["name"])
    drain = through(cluster, proxy, StepKind.EVICT, node)
    drain.look()
    proxy.add(Fault("POST", "/eviction", status=429, headers={"Retry-After": "3"}))

    with pytest.raises(TooManyRequests):
        drain.look()
    assert drain.run().state is StepState.DONE


def test_a_restart_whose_answers_are_all_cut_restarts_once(cluster: Space, proxy: FaultyProxy, admin: Admin) -> None:
    cluster.add_nodes(1)
    job = cluster.admin.create(objects.indexed_job("train", cluster.namespace, 2, 0, nodeSelector=cluster.selector))
    before = {pod["metadata"]["uid"] for pod in cluster.running("app=train", 2)}
    restart = through(cluster, proxy, StepKind.RESTART_JOB, job)
    proxy.add(Fault("PATCH", "/jobs/", cut_after=True, times=2))

    assert restart.run().state is StepState.DONE
    assert len(proxy.writes()) == 2
    assert before & {pod["metadata"]["uid"] for pod in cluster.running("app=train", 2)} == set()


def policy(cluster: Space, expression: str, resource: str, operation: str) -> tuple[Object, Object]:
    """A real ValidatingAdmissionPolicy that refuses, and its binding."""
    name = f"no-{cluster.namespace}"
    group, _, plural = resource.rpartition("/")
    rules = [
        {"apiGroups": [group], "apiVersions": ["*"], "operations": [operation], "resources": [plural.replace(".", "/")]}
    ]
    api = "admissionregistration.k8s.io/v1"
    made = {
        "apiVersion": api,
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "matchConstraints": {"resourceRules": rules},
            "validations": [{"expression": expression, "message": "nodes of this test are not to be touched"}],
        },
    }
    binding = {
        "apiVersion": api,
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"]},
    }
    return made, binding


@pytest.fixture
def denied(cluster: Space, admin: Admin) -> Any:
    """`denied(expression, resource, operation)`: refused until the test is over."""
    made: list[Object] = []

    def deny(expression: str, resource: str, operation: str, probe: Any) -> None:
        made.extend(admin.create(one) for one in policy(cluster, expression, resource, operation))
        probe()

    yield deny
    for thing in reversed(made):
        admin.delete(thing["kind"], thing["metadata"]["name"])


def until_refused(write: Any) -> None:
    """A policy counts a moment after it was made."""
    import time

    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            write()
        except Exception as error:
            if "not to be touched" in str(error):
                return
            raise
        time.sleep(0.1)
    raise AssertionError("the policy never counted")


def test_admission_that_rejects_is_a_no_for_good_with_its_words(
    act: Act, admin: Admin, cluster: Space, node: Object, denied: Any
) -> None:
    name = node["metadata"]["name"]
    touched = (
        "has(object.metadata.annotations) && 'probe' in object.metadata.annotations || has(object.spec.unschedulable)"
    )
    here = f"object.metadata.name != '{name}' || !({touched})"
    probe = {"metadata": {"annotations": {"probe": "1"}}}
    denied(here, "/nodes", "UPDATE", lambda: until_refused(lambda: admin.patch("Node", name, probe)))

    with pytest.raises(Rejected) as told:
        act(StepKind.CORDON, node).run()

    assert "denied request: nodes of this test are not to be touched" in str(told.value)
    assert not isinstance(told.value, FixConfiguration)
    assert "unschedulable" not in admin.get("Node", name)["spec"]


def test_a_missing_right_names_the_verb_and_where_to_grant_it(
    control_plane: ControlPlane, cluster: Space, node: Object
) -> None:
    account = cluster.admin.create(objects.service_account("nobody", cluster.namespace))
    granted = objects.cluster_role(
        f"reads-{cluster.namespace}", [objects.rule(["get"], ["nodes"])], account["metadata"]["name"], cluster.namespace
    )
    cluster.admin.create_all(granted)
    token = control_plane.at.folder / f"{cluster.namespace}.token"
    token.write_text(cluster.admin.token_request("nobody", cluster.namespace))
    from policies.cluster.client import KubeClient

    client = KubeClient.at(control_plane.url, token, control_plane.ca_file)
    driver = Driver(ClusterSteps(client), plan_of(StepKind.CORDON, target_of(node)), a_moment)

    with pytest.raises(FixConfiguration, match=r'cannot patch resource "nodes" in API group "".*grant it in the agent'):
        driver.run()


def test_a_stale_leader_writes_nothing(cluster: Space, admin: Admin, node: Object) -> None:
    def fence() -> None:
        raise Stale("another leads")

    client = client_of(cluster.plane, fence=fence)
    driver = Driver(ClusterSteps(client), plan_of(StepKind.CORDON, target_of(node)), a_moment)

    with pytest.raises(Stale):
        driver.run()

    found = admin.get("Node", node["metadata"]["name"])
    assert ("unschedulable" in found["spec"], driver.memo) == (False, {})


def test_the_fence_is_asked_before_each_write_and_before_no_read(cluster: Space, admin: Admin) -> None:
    cluster.add_nodes(1)
    job = admin.create(objects.indexed_job("train", cluster.namespace, 2, 0, nodeSelector=cluster.selector))
    cluster.running("app=train", 2)
    asked: list[str] = []
    client = client_of(cluster.plane, fence=lambda: asked.append("asked"))
    driver = Driver(ClusterSteps(client), plan_of(StepKind.RESTART_JOB, target_of(job)), a_moment)

    assert driver.run().state is StepState.DONE
    sent = [  # suspend and resume; one that met a change of the controller's is sent anew
        write.verb
        for write in cluster.plane.writes("admin")
        if (write.resource, write.namespace, write.name, write.verb) == ("jobs", cluster.namespace, "train", "patch")
    ]
    assert len(asked) == len(sent) >= 2


def test_a_leader_that_is_stopped_between_suspend_and_resume_leaves_the_next_one_to_finish(
    cluster: Space, admin: Admin
) -> None:
    cluster.add_nodes(1)
    job = admin.create(objects.indexed_job("train", cluster.namespace, 2, 0, nodeSelector=cluster.selector))
    before = {pod["metadata"]["uid"] for pod in cluster.running("app=train", 2)}
    writes = []

    def fence() -> None:
        if writes:
            raise Stale("another leads")
        writes.append("one")

    plan = plan_of(StepKind.RESTART_JOB, target_of(job))
    first = Driver(ClusterSteps(client_of(cluster.plane, fence=fence)), plan, a_moment)
    with pytest.raises(Stale):
        first.run()
    assert admin.get("Job", "train", cluster.namespace)["spec"]["suspend"] is True

    second = Driver(ClusterSteps(client_of(cluster.plane)), plan, a_moment, memo=first.memo)

    assert second.run().state is StepState.DONE
    assert before & {pod["metadata"]["uid"] for pod in cluster.running("app=train", 2)} == set()


def test_a_restart_that_has_begun_never_runs_out_of_tries(cluster: Space, proxy: FaultyProxy, admin: Admin) -> None:
    cluster.add_nodes(1)
    job = admin.create(objects.indexed_job("train", cluster.namespace, 2, 0, nodeSelector=cluster.selector))
    cluster.running("app=train", 2)
    restart = through(cluster, proxy, StepKind.RESTART_JOB, job)
    restart.run(until=lambda look: look.changed)
    proxy.add(Fault("", "/", status=503, headers={"Retry-After": "20"}, times=20))

    away = [restart.look() for _ in range(20)]

    assert {(look.state, look.again_seconds) for look in away} == {(StepState.RUNNING, 20.0)}
    assert restart.run().state is StepState.DONE
    assert admin.get("Job", "train", cluster.namespace)["spec"]["suspend"] is False


def test_a_resume_that_admission_refuses_says_that_the_job_is_still_suspended(
    act: Act, cluster: Space, admin: Admin, denied: Any
) -> None:
    cluster.add_nodes(1)
    job = admin.create(objects.indexed_job("train", cluster.namespace, 2, 0, nodeSelector=cluster.selector))
    cluster.running("app=train", 2)
    restart = act(StepKind.RESTART_JOB, job)
    restart.run(until=lambda look: look.changed)
    here = f"object.metadata.namespace != '{cluster.namespace}' || object.spec.suspend"
    probe = {"spec": {"suspend": False}, "metadata": {"resourceVersion": "", "labels": {"probe": "1"}}}
    dry = f"/apis/batch/v1/namespaces/{cluster.namespace}/jobs/train?dryRun=All"
    kind = "application/merge-patch+json"
    denied(
        here,
        "batch/jobs",
        "UPDATE",
        lambda: until_refused(lambda: admin.request("PATCH", dry, probe, content_type=kind)),
    )

    with pytest.raises(GiveUp, match=r"is STILL SUSPENDED by us; let it go on by hand: .*not to be touched"):
        restart.run()


@pytest.mark.timeout(180)
def test_an_api_server_that_is_away_or_hangs_is_waited_for(own_control_plane: ControlPlane) -> None:
    space = Space.open(own_control_plane)
    node = space.admin.get("Node", space.add_nodes(1)[0])
    client = client_of(own_control_plane, read_seconds=1.0)
    driver = Driver(ClusterSteps(client), plan_of(StepKind.CORDON, target_of(node)), a_moment)

    own_control_plane.stop_api_server()
    with pytest.raises(RetryLater, match="tried again by itself"):
        driver.look()
    own_control_plane.start_api_server()
    own_control_plane.api_server.pause()
    with pytest.raises(RetryLater, match="Read timed out"):
        driver.look()
    own_control_plane.api_server.resume()

    assert driver.run().state is StepState.DONE


def test_an_argument_that_is_no_number_is_one_clear_line(act: Act, cluster: Space, admin: Admin, node: Object) -> None:
    cluster.run_job("train", pods=1, gpus=2)
    admin.cordon(node["metadata"]["name"])

    reason = refused(act(StepKind.EVICT, node, arguments={"deadline_seconds": "soon"}))

    assert reason.endswith("step 0 (evict): deadline_seconds='soon' is no number of seconds")
    with pytest.raises(GiveUp):
        act(StepKind.EVICT, node, arguments={"only": "some"}).run()
