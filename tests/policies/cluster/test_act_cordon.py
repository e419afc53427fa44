"""Cordon and uncordon on the real API server: ours only, and never against a person."""

from typing import Any

import pytest
from acting import Act, refused, undo_of

from policies.cluster import marks
from policies.cluster.client import JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, Conflicted, KubeClient
from policies.cluster_view import OWN_CORDON
from policies.journal import StepState
from policies.plan import StepKind
from testcluster.admin import Admin, Object
from testcluster.space import Space


def state(admin: Admin, node: Object) -> tuple[bool, str | None]:
    """Unschedulable, and our mark."""
    found = admin.get("Node", node["metadata"]["name"])
    return found["spec"].get("unschedulable", False), found["metadata"].get("annotations", {}).get(OWN_CORDON)


def as_kubectl(admin: Admin, node: Object, unschedulable: bool, manager: str = "kubectl-cordon") -> None:
    """What `kubectl cordon` and `uncordon` send."""
    path = f"/api/v1/nodes/{node['metadata']['name']}"
    body = {"spec": {"unschedulable": unschedulable or None}}
    kind = "application/strategic-merge-patch+json"
    admin.request("PATCH", path, body, query={"fieldManager": manager}, content_type=kind)


def test_a_node_is_cordoned_and_uncordoned_and_its_mark_names_the_plan(act: Act, admin: Admin, node: Object) -> None:
    cordon = act(StepKind.CORDON, node)

    first = cordon.run()

    assert (first.state, first.changed, state(admin, node)) == (StepState.DONE, True, (True, cordon.plan.id))
    assert cordon.verify().state is StepState.DONE
    undo = act(undo_of(cordon.plan))
    assert (undo.run().state, state(admin, node)) == (StepState.DONE, (False, None))
    assert undo.verify().state is StepState.DONE


def test_a_second_cordon_changes_nothing(act: Act, admin: Admin, node: Object) -> None:
    cordon = act(StepKind.CORDON, node)
    cordon.run()
    version = admin.get("Node", node["metadata"]["name"])["metadata"]["resourceVersion"]

    again = act(cordon.plan).run()

    assert (again.state, again.changed) == (StepState.DONE, False)
    assert admin.get("Node", node["metadata"]["name"])["metadata"]["resourceVersion"] == version


def test_a_node_that_a_person_cordoned_stays_theirs(act: Act, admin: Admin, node: Object) -> None:
    as_kubectl(admin, node, True)

    cordon = act(StepKind.CORDON, node)
    cordoned = cordon.run()
    undone = act(undo_of(cordon.plan)).run()

    assert [cordoned.state, undone.state] == [StepState.SKIPPED, StepState.SKIPPED]
    assert "was cordoned by kubectl-cordon already" in cordoned.detail
    assert state(admin, node) == (True, None)


def test_a_person_s_later_cordon_is_not_taken_for_ours(act: Act, admin: Admin, node: Object) -> None:
    cordon = act(StepKind.CORDON, node)
    cordon.run()
    as_kubectl(admin, node, False)
    as_kubectl(admin, node, True)

    undone = act(undo_of(cordon.plan)).run()

    assert undone.state is StepState.SKIPPED
    assert "is held by kubectl-cordon meanwhile" in undone.detail
    assert state(admin, node) == (True, None)


@pytest.mark.parametrize(
    ("who", "sign"),
    [
        pytest.param(
            "nvsentinel", {"metadata": {"annotations": {"quarantineHealthEventIsCordoned": "True"}}}, id="NVSentinel"
        ),
        pytest.param(
            "cluster-autoscaler",
            {"spec": {"taints": [{"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}]}},
            id="cluster-autoscaler",
        ),
        pytest.param("kured", {"metadata": {"annotations": {"weave.works/kured-reboot-in-progress": "x"}}}, id="kured"),
    ],
)
def test_a_cordon_that_another_counts_on_too_is_left_to_them(
    who: str, sign: dict[str, Any], act: Act, admin: Admin, node: Object
) -> None:
    """They leave the field alone where it is set already: only their own mark tells."""
    cordon = act(StepKind.CORDON, node)
    cordon.run()
    admin.patch("Node", node["metadata"]["name"], sign)

    undone = act(undo_of(cordon.plan)).run()

    assert (undone.state, undone.changed, state(admin, node)) == (StepState.SKIPPED, True, (True, None))
    assert f"is held by {who} meanwhile; left cordoned" in undone.detail


def test_a_person_who_uncordons_is_not_fought(act: Act, admin: Admin, node: Object) -> None:
    cordon = act(StepKind.CORDON, node)
    cordon.run()
    as_kubectl(admin, node, False)

    verified, repeated = cordon.verify(), act(cordon.plan).run()

    assert [verified.state, repeated.state] == [StepState.FAILED, StepState.FAILED]
    assert "uncordoned by somebody else" in verified.detail
    assert state(admin, node)[0] is False


def test_a_new_plan_may_cordon_again_what_a_person_uncordoned_long_ago(act: Act, admin: Admin, node: Object) -> None:
    act(StepKind.CORDON, node).run()
    as_kubectl(admin, node, False)

    second = act(StepKind.CORDON, node, incident="INC-2")

    assert second.run().state is StepState.DONE
    assert state(admin, node) == (True, second.plan.id)


def test_of_two_incidents_on_one_node_the_last_lets_go(act: Act, admin: Admin, node: Object) -> None:
    one, two = act(StepKind.CORDON, node), act(StepKind.CORDON, node, incident="INC-2")
    one.run()
    joined = two.run()
    assert state(admin, node) == (True, f"{one.plan.id},{two.plan.id}")

    first, second = act(undo_of(one.plan)).run(), state(admin, node)
    act(undo_of(two.plan)).run()

    assert (joined.state, first.state, second) == (StepState.DONE, StepState.DONE, (True, two.plan.id))
    assert state(admin, node) == (False, None)


def test_an_undo_of_a_plan_that_holds_nothing_leaves_the_cordon(act: Act, admin: Admin, node: Object) -> None:
    cordon = act(StepKind.CORDON, node)
    cordon.run()

    other = act(StepKind.UNCORDON, node, undoes="PLN-OTHER").run()

    assert (other.state, state(admin, node)) == (StepState.SKIPPED, (True, cordon.plan.id))


@pytest.mark.parametrize("kind", [StepKind.CORDON, StepKind.UNCORDON])
def test_a_node_that_is_gone_is_skipped(kind: StepKind, act: Act, admin: Admin, cluster: Space, node: Object) -> None:
    admin.delete("Node", node["metadata"]["name"])

    assert act(kind, node).run().detail == f"Node {node['metadata']['name']} is gone"


@pytest.mark.parametrize("kind", [StepKind.CORDON, StepKind.UNCORDON, StepKind.EVICT])
def test_another_node_under_the_same_name_is_left_alone(kind: StepKind, act: Act, admin: Admin, node: Object) -> None:
    name = node["metadata"]["name"]
    admin.delete("Node", name)
    made_anew: dict[str, Any] = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}
    admin.create(made_anew)

    reason = refused(act(kind, node))

    assert "another one under the same name" in reason
    assert node["metadata"]["uid"] in reason
    assert state(admin, node) == (False, None)


def test_the_api_server_knows_who_set_the_field(act: Act, admin: Admin, node: Object) -> None:
    act(StepKind.CORDON, node).run()

    managed = admin.get("Node", node["metadata"]["name"])["metadata"]["managedFields"]
    ours = [entry for entry in managed if entry["manager"] == "watchstander"]
    assert [entry["fieldsV1"]["f:spec"] for entry in ours] == [{"f:unschedulable": {}}]


@pytest.mark.parametrize("field", ["uid", "resourceVersion"])
@pytest.mark.parametrize("how", [MERGE_PATCH, STRATEGIC_PATCH, JSON_PATCH])
def test_what_changed_since_it_was_read_is_not_written(
    field: str, how: str, client: KubeClient, admin: Admin, node: Object
) -> None:
    stale = {"metadata": {**node["metadata"], field: "1"}}
    marked = {"metadata": {**marks.preconditions(stale), "labels": {"a": "b"}}}
    body = (
        [*marks.tests(stale), {"op": "add", "path": "/metadata/labels/a", "value": "b"}]
        if how == JSON_PATCH
        else marked
    )

    with pytest.raises(Conflicted):
        client.patch(f"/api/v1/nodes/{node['metadata']['name']}", body, how=how)

    assert "a" not in admin.get("Node", node["metadata"]["name"])["metadata"]["labels"]
