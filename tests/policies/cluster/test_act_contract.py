"""What needs no cluster: bodies that follow another's contract, templates, marks, names, errors by meaning."""

import json
import re
from typing import Any

import pytest
from acting import plan_of
from hypothesis import given
from hypothesis import strategies as st

from collectors.errors import FixConfiguration
from policies.cluster import client as door
from policies.cluster.act_settings import ActSettings
from policies.cluster.jobs import unproven
from policies.cluster.jobs.batch_job import BATCH_JOB, wanted
from policies.cluster.jobs.gang import SUSPEND, Switch
from policies.cluster.jobs.jobset import wanted as jobset_wanted
from policies.cluster.marks import joined, mark, object_name, released, setters
from policies.cluster.needs import JOB_NEEDS, NEEDS, UNPROVEN_NEEDS, needs_of
from policies.cluster.pods import holds_gpus, left_because, overdue_seconds
from policies.cluster.restart_job import TURNS, UNPROVEN_TURNS, can_restart
from policies.cluster.steps import ROOMS
from policies.cluster.template import Match, Template, look_up
from policies.plan import StepKind, Target

JOB = Target("batch.volcano.sh/v1alpha1", "Job", "ml", "train", "uid-1")


@pytest.mark.parametrize(
    ("gang", "off", "on", "selector"),
    [
        pytest.param(
            unproven.OPERATOR_JOBS[0],
            {"spec": {"runPolicy": {"suspend": True}}},
            {"spec": {"runPolicy": {"suspend": False}}},
            "training.kubeflow.org/job-name=train",
            id="PyTorchJob",
        ),
        pytest.param(
            unproven.RAY_JOB,
            {"spec": {"suspend": True}},
            {"spec": {"suspend": False}},
            "ray.io/cluster=c1",
            id="RayJob",
        ),
    ],
)
def test_patches_of_kinds_that_were_never_tried_follow_their_contract(
    gang: Any, off: Any, on: Any, selector: str
) -> None:
    job = {"metadata": {"name": "train"}, "status": {"rayClusterName": "c1"}}

    assert (gang.switch.turn(True), gang.switch.turn(False), gang.selector(job)) == (off, on, selector)
    assert gang.proven is False


def test_volcano_s_command_names_the_job_by_uid_and_restarts_it() -> None:
    owner = {"apiVersion": JOB.api_version, "kind": "Job", "name": "train", "uid": "uid-1", "controller": True}

    assert unproven.volcano_command(JOB, "watchstander-1") == {
        "apiVersion": "bus.volcano.sh/v1alpha1",
        "kind": "Command",
        "metadata": {"name": "watchstander-1", "namespace": "ml", "ownerReferences": [owner]},
        "action": "RestartJob",
        "target": owner,
        "reason": "Watchstander",
    }


def test_kinds_that_were_never_tried_are_off_until_an_operator_names_them() -> None:
    names = {name for name, *_ in UNPROVEN_TURNS.values()}

    operators = {"PyTorchJob", "TFJob", "XGBoostJob", "JAXJob", "MPIJob"}
    assert names == set(UNPROVEN_NEEDS) == {*operators, "RayJob", "Job.volcano"}
    assert "adding Job.volcano to `unproven`" in can_restart(JOB)
    assert can_restart(JOB, ("Job.volcano",)) == ""
    assert {kind for _, kind in TURNS} | {"Kueue"} == set(JOB_NEEDS)


@pytest.mark.parametrize(
    ("switch", "thing", "is_off"),
    [
        pytest.param(SUSPEND, {"spec": {}}, False, id="absent"),
        pytest.param(SUSPEND, {"spec": {"suspend": True}}, True, id="suspended"),
        pytest.param(SUSPEND, {"spec": {"suspend": False}}, False, id="running"),
        pytest.param(Switch(("spec", "active"), off=False), {"spec": {}}, False, id="active by default"),
        pytest.param(Switch(("spec", "active"), off=False), {"spec": {"active": False}}, True, id="inactive"),
    ],
)
def test_a_switch_is_off_only_where_it_says_so(switch: Switch, thing: Any, is_off: bool) -> None:
    assert switch.is_off(thing) is is_off


@pytest.mark.parametrize(
    ("spec", "succeeded", "pods"),
    [
        ({"parallelism": 4, "completions": 4}, 0, 4),
        ({"parallelism": 4, "completions": 4}, 3, 1),
        ({"parallelism": 2, "completions": 8}, 3, 2),
        ({"parallelism": 2}, 0, 2),
        ({}, 0, 1),
    ],
)
def test_a_job_is_whole_with_as_many_pods_as_are_still_to_complete(spec: Any, succeeded: int, pods: int) -> None:
    assert wanted({"spec": spec, "status": {"succeeded": succeeded}}) == pods
    assert BATCH_JOB.wanted({"spec": spec, "status": {"succeeded": succeeded}}) == pods


def test_a_job_set_is_whole_with_the_pods_of_all_its_replicas() -> None:
    def replicated(replicas: int, parallelism: int) -> Any:
        return {"replicas": replicas, "template": {"spec": {"parallelism": parallelism}}}

    job = {"spec": {"replicatedJobs": [replicated(2, 4), replicated(1, 1)]}, "status": {}}

    assert jobset_wanted(job) == 9


@given(
    held=st.lists(st.sampled_from(["PLN-A", "PLN-B", "PLN-C"]), unique=True), plan=st.sampled_from(["PLN-A", "PLN-D"])
)
def test_who_lets_go_after_holding_leaves_the_others(held: list[str], plan: str) -> None:
    after = joined(tuple(held), plan)

    assert sorted(after.split(",")) == sorted({*held, plan})
    assert (released(tuple(after.split(",")), plan) or "").split(",") == ([one for one in held if one != plan] or [""])
    assert released(tuple(held), "") is None


@given(index=st.integers(0, 40), made_s=st.integers(0, 2**40))
def test_names_of_created_objects_are_names_to_kubernetes_and_differ_by_plan_and_step(index: int, made_s: int) -> None:
    plan = plan_of(StepKind.REBOOT_NODE, JOB, made_ns=made_s * 10**9)

    name = object_name(plan, index)

    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])", name)
    assert name == object_name(plan, index)
    assert name != object_name(plan, index + 1)
    assert name != object_name(plan_of(StepKind.REBOOT_NODE, JOB, made_ns=(made_s + 1) * 10**9), index)
    assert mark(plan) == f"{plan.id}.{made_s}"


def test_a_field_s_setters_are_read_from_managed_fields() -> None:
    def entry(manager: str, fields: Any) -> Any:
        return {"manager": manager, "fieldsV1": fields}

    thing = {
        "metadata": {
            "managedFields": [
                entry("kubectl-cordon", {"f:spec": {"f:unschedulable": {}}}),
                entry("kubelet", {"f:status": {}}),
                entry("watchstander", {"f:spec": {"f:unschedulable": {}}, "f:metadata": {}}),
            ]
        }
    }

    assert setters(thing, "spec", "unschedulable") == ("kubectl-cordon", "watchstander")


@pytest.mark.parametrize(
    ("pod", "why"),
    [
        pytest.param({"metadata": {"annotations": {"kubernetes.io/config.mirror": "1"}}}, "static", id="static"),
        pytest.param(
            {"metadata": {"ownerReferences": [{"kind": "DaemonSet", "controller": True}]}}, "DaemonSet", id="DaemonSet"
        ),
        pytest.param({"metadata": {}, "status": {"phase": "Succeeded"}}, "finished", id="succeeded"),
        pytest.param({"metadata": {}, "status": {"phase": "Failed"}}, "finished", id="failed"),
        pytest.param({"metadata": {"labels": {"watchstander.io/protected": "true"}}}, "protected", id="protected"),
        pytest.param({"metadata": {"annotations": {"watchstander.io/protected": "true"}}}, "protected", id="annotated"),
        pytest.param({"metadata": {}, "status": {"phase": "Running"}}, "", id="running"),
    ],
)
def test_which_pods_a_drain_leaves(pod: Any, why: str) -> None:
    assert left_because(pod) == why


@pytest.mark.parametrize(
    ("spec", "holds"),
    [
        ({"containers": [{"resources": {"limits": {"nvidia.com/gpu": "1"}}}]}, True),
        ({"containers": [{"resources": {"limits": {"nvidia.com/mig-1g.10gb": "1"}}}]}, True),
        ({"containers": [{}], "resourceClaims": [{"name": "gpu"}]}, True),
        ({"containers": [{"resources": {"limits": {"cpu": "1"}}}, {"resources": None}]}, False),
        ({}, False),
    ],
)
def test_which_pods_hold_gpus(spec: Any, holds: bool) -> None:
    assert holds_gpus({"metadata": {}, "spec": spec}, ActSettings().gpu_resources) is holds


def test_a_pod_s_delay_is_counted_by_the_api_server_s_clock() -> None:
    pod = {"metadata": {"deletionTimestamp": "2026-11-28T00:00:30Z"}}

    assert overdue_seconds(pod, 1795824060 * 10**9) == 30.0
    assert overdue_seconds(pod, 1795824000 * 10**9) == 0.0


TEMPLATE = Template(
    "jobs",
    {"kind": "Job", "metadata": {"namespace": "ops"}, "spec": {"args": ["-i", "${gpu}", "$$HOME"], "n": 3}},
    (Match("status.conditions[type=Complete].status", "True"),),
)


@given(st.text())
def test_a_value_never_becomes_structure(value: str) -> None:
    made = TEMPLATE.render("x", {"gpu": value})

    assert made == {
        "kind": "Job",
        "metadata": {"namespace": "ops", "name": "x"},
        "spec": {"args": ["-i", value, "$HOME"], "n": 3},
    }


@pytest.mark.parametrize(
    ("text", "says"),
    [("${gup}", r"\$\{gup\} has no value here"), ("$", "a plain \\$ is written")],
)
def test_a_template_that_cannot_be_filled_says_what_is_wrong(text: str, says: str) -> None:
    with pytest.raises(FixConfiguration, match=says):
        Template("jobs", {"spec": text}, ()).render("x", {"gpu": "1"})


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("status.conditions[type=Complete].status", "True"),
        ("status.conditions[type=Failed].status", None),
        ("status.phase", "Succeeded"),
        ("status.phase.deeper", None),
        ("nothing.at.all", None),
    ],
)
def test_a_path_finds_a_field_or_nothing(path: str, found: str | None) -> None:
    thing = {"status": {"phase": "Succeeded", "conditions": [{"type": "Complete", "status": "True"}, "odd"]}}

    assert look_up(thing, path) == found


@given(
    st.recursive(
        st.none() | st.booleans() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_a_path_survives_any_object(thing: Any) -> None:
    look_up(thing, "status.conditions[type=Complete].status")


def test_a_path_that_is_none_is_said() -> None:
    with pytest.raises(FixConfiguration, match=r"'a\[0\]' is no path such as"):
        look_up({}, "a[0]")


def test_every_kind_of_step_has_its_room_and_its_needs() -> None:
    assert set(ROOMS) == set(NEEDS) == set(StepKind)


def test_needs_are_small_and_name_no_wildcard() -> None:
    every = {need for needs in (*NEEDS.values(), *JOB_NEEDS.values(), *UNPROVEN_NEEDS.values()) for need in needs}

    assert not [need for need in every if "*" in "".join(need)]
    assert {need for need in every if need[2] == "delete"} == {("", "pods", "delete")}
    assert not [need for need in every if need[1] in ("secrets", "serviceaccounts", "clusterroles")]


def test_needs_shrink_with_the_kinds_of_jobs_that_are_restarted() -> None:
    assert needs_of(frozenset({StepKind.RESTART_JOB}), frozenset({"Job"})) == (
        ("", "pods", "list"),
        ("batch", "jobs", "get"),
        ("batch", "jobs", "patch"),
        ("kueue.x-k8s.io", "workloads", "list"),
    )
    assert needs_of(frozenset({StepKind.CORDON, StepKind.UNCORDON})) == (("", "nodes", "get"), ("", "nodes", "patch"))


def status(code: int, message: str, **more: Any) -> bytes:
    return json.dumps({"kind": "Status", "code": code, "message": message, **more}).encode()


BUDGET = {"details": {"causes": [{"reason": "DisruptionBudget", "message": "The disruption budget a needs 1"}]}}


@pytest.mark.parametrize(
    ("code", "body", "error"),
    [
        (404, status(404, "not found"), door.NotThere),
        (409, status(409, "the object has been modified"), door.Conflicted),
        (422, status(422, "the server rejected our request due to an error in our request"), door.Conflicted),
        (422, status(422, "spec.x: Invalid value"), door.Rejected),
        (403, status(403, 'nodes "a" is forbidden: User "x" cannot patch resource "nodes"'), door.Forbidden),
        (403, status(403, 'pods "a" is forbidden: exceeded quota: q'), door.Rejected),
        (403, status(403, 'admission webhook "w" denied the request: no'), door.Rejected),
        (401, b"Unauthorized", door.Forbidden),
        (429, status(429, "Cannot evict pod", **BUDGET), door.TooManyRequests),
        (500, status(500, "This pod has more than one PodDisruptionBudget, which"), door.TooManyRequests),
        (500, status(500, "failed calling webhook: timeout"), door.RetryLater),
        (500, b"\xff<html>", door.RetryLater),
        (503, b"[]", door.RetryLater),
    ],
)
def test_answers_are_sorted_by_what_the_caller_must_do(code: int, body: bytes, error: type[Exception]) -> None:
    assert type(door._error("PATCH x", code, body, {})) is error


def test_a_budget_s_own_words_are_kept() -> None:
    found = door._error("POST x", 429, status(429, "Cannot evict pod", **BUDGET), {"Retry-After": "10"})

    assert isinstance(found, door.TooManyRequests)
    assert (found.budget, found.after_seconds) == ("The disruption budget a needs 1", 10.0)


@given(st.binary(max_size=300), st.integers(300, 599))
def test_any_answer_of_a_server_is_one_line(body: bytes, code: int) -> None:
    line = str(door._error("GET x", code, body, {"Retry-After": "soon"}))

    assert "\n" not in line.strip()
    assert len(line) < 900
