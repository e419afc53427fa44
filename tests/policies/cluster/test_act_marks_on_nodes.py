"""Taints, labels and conditions: our own keys only, and what others set survives."""

import json

import pytest
from acting import Act, Driver, refused, undo_of

from policies.journal import StepState
from policies.plan import StepKind
from testcluster.admin import Admin, Object

TAINT = {"key": "watchstander.io/xid", "value": "79", "effect": "NoSchedule"}
LABEL = {"key": "watchstander.io/suspect", "value": "gpu"}
CONDITION = {"type": "WatchstanderFault", "reason": "Xid79", "message": "the card fell off the bus"}
OTHERS = {"key": "example.com/theirs", "effect": "NoSchedule"}


def name(node: Object) -> str:
    return str(node["metadata"]["name"])


def taints(admin: Admin, node: Object) -> list[Object]:
    found = admin.get("Node", name(node))["spec"].get("taints", [])
    return [taint for taint in found if not taint["key"].startswith("node.kubernetes.io/")]


def labels(admin: Admin, node: Object) -> dict[str, str]:
    found = admin.get("Node", name(node))["metadata"]
    ours = {**found.get("labels", {}), **found.get("annotations", {})}
    return {key: value for key, value in ours.items() if key.startswith("watchstander.io/")}


def test_a_taint_comes_and_goes_and_others_survive(act: Act, admin: Admin, node: Object) -> None:
    admin.patch("Node", name(node), {"spec": {"taints": [OTHERS]}})
    taint = act(StepKind.TAINT, node, arguments=TAINT)

    assert taint.run().state is StepState.DONE
    assert taints(admin, node) == [OTHERS, TAINT]
    assert act(taint.plan).run().changed is False
    assert taint.verify().state is StepState.DONE
    assert act(undo_of(taint.plan)).run().state is StepState.DONE
    assert (taints(admin, node), labels(admin, node)) == ([OTHERS], {})


def test_a_node_without_any_taint_or_annotation_is_tainted_too(act: Act, admin: Admin, node: Object) -> None:
    taint = act(StepKind.TAINT, node, arguments=TAINT)

    assert (taint.run().state, taints(admin, node)) == (StepState.DONE, [TAINT])


@pytest.mark.parametrize(
    ("kind", "arguments"), [(StepKind.TAINT, TAINT), (StepKind.LABEL, LABEL)], ids=["taint", "label"]
)
def test_of_two_plans_the_last_lets_go(
    kind: StepKind, arguments: dict[str, str], act: Act, admin: Admin, node: Object
) -> None:
    one, two = (act(kind, node, arguments=arguments, incident=incident) for incident in ("INC-1", "INC-2"))

    def there() -> bool:
        return bool(taints(admin, node)) if kind is StepKind.TAINT else arguments["key"] in labels(admin, node)

    seen = []
    for driver in (one, two, act(undo_of(one.plan)), act(undo_of(two.plan))):
        assert driver.run().state is StepState.DONE
        seen.append(there())

    assert seen == [True, True, True, False]
    assert labels(admin, node) == {}


@pytest.mark.parametrize(
    ("kind", "arguments"), [(StepKind.TAINT, TAINT), (StepKind.LABEL, LABEL)], ids=["taint", "label"]
)
def test_what_a_person_removed_is_not_set_again(
    kind: StepKind, arguments: dict[str, str], act: Act, admin: Admin, node: Object
) -> None:
    driver = act(kind, node, arguments=arguments)
    driver.run()
    admin.patch("Node", name(node), {"spec": {"taints": None}, "metadata": {"labels": {LABEL["key"]: None}}})

    verified, repeated = driver.verify(), act(driver.plan).run()

    assert [verified.state, repeated.state] == [StepState.FAILED, StepState.FAILED]
    assert "removed by somebody else" in repeated.detail
    assert act(undo_of(driver.plan)).run().changed is True
    assert labels(admin, node) == {}


@pytest.mark.parametrize(
    ("kind", "arguments", "theirs"),
    [
        pytest.param(StepKind.TAINT, TAINT, {"spec": {"taints": [TAINT]}}, id="taint"),
        pytest.param(StepKind.LABEL, LABEL, {"metadata": {"labels": {LABEL["key"]: LABEL["value"]}}}, id="label"),
    ],
)
def test_what_a_person_set_before_stays_theirs(
    kind: StepKind, arguments: dict[str, str], theirs: Object, act: Act, admin: Admin, node: Object
) -> None:
    admin.patch("Node", name(node), theirs)
    driver = act(kind, node, arguments=arguments)

    states = [driver.run().state, act(undo_of(driver.plan)).run().state]

    assert states == [StepState.SKIPPED, StepState.SKIPPED]
    assert taints(admin, node) or LABEL["key"] in labels(admin, node)


def test_another_plan_s_label_with_another_value_stays_and_fails_no_plan(act: Act, admin: Admin, node: Object) -> None:
    first = act(StepKind.LABEL, node, arguments=LABEL)
    first.run()

    second = act(StepKind.LABEL, node, arguments={**LABEL, "value": "memory"}, incident="INC-2").run()

    assert (second.state, second.changed) == (StepState.SKIPPED, False)
    assert f"bears label {LABEL['key']}=gpu for {first.plan.id}, not memory" in second.detail
    assert labels(admin, node)[LABEL["key"]] == "gpu"


def test_a_label_that_a_person_changed_stays_as_they_want_it(act: Act, admin: Admin, node: Object) -> None:
    driver = act(StepKind.LABEL, node, arguments=LABEL)
    driver.run()
    admin.patch("Node", name(node), {"metadata": {"labels": {LABEL["key"]: "fine"}}})

    undone = act(undo_of(driver.plan)).run()

    assert (undone.state, labels(admin, node)) == (StepState.SKIPPED, {LABEL["key"]: "fine"})


@pytest.mark.parametrize(
    ("kind", "arguments", "why"),
    [
        pytest.param(
            StepKind.TAINT, {**TAINT, "key": "nvidia.com/gpu"}, "must be watchstander.io/", id="another's key"
        ),
        pytest.param(StepKind.TAINT, {**TAINT, "effect": "NoExecute"}, "must be one of NoSchedule", id="evicting"),
        pytest.param(StepKind.LABEL, {**LABEL, "key": "watchstander.io/managed"}, "and none of", id="a person's word"),
        pytest.param(
            StepKind.CONDITION, {**CONDITION, "type": "Ready"}, "must begin with Watchstander", id="kubelet's"
        ),
    ],
)
def test_what_is_not_ours_to_set_is_refused(
    kind: StepKind, arguments: dict[str, str], why: str, act: Act, node: Object
) -> None:
    assert why in refused(act(kind, node, arguments=arguments))


def condition(admin: Admin, node: Object) -> Object:
    found = admin.get("Node", name(node))["status"]["conditions"]
    return next(one for one in found if one["type"] == CONDITION["type"])


def events(admin: Admin, node: Object, reason: str) -> list[Object]:
    return [
        event
        for event in admin.list("Event.events.k8s.io", "default")
        if event["regarding"]["name"] == name(node) and event["reason"] == reason
    ]


def test_a_condition_comes_with_one_event_however_often_it_is_repeated(act: Act, admin: Admin, node: Object) -> None:
    before = {one["type"] for one in admin.get("Node", name(node))["status"]["conditions"]}
    driver = act(StepKind.CONDITION, node, arguments=CONDITION)

    changed = [driver.run().changed, *(act(driver.plan).run().changed for _ in range(2))]

    assert changed == [True, False, False]
    found = condition(admin, node)
    told = f"the card fell off the bus [{driver.plan.id}]"
    assert (found["status"], found["reason"], found["message"]) == ("True", "Xid79", told)
    assert [(event["note"], event["type"]) for event in events(admin, node, "Xid79")] == [(told, "Warning")]
    assert {one["type"] for one in admin.get("Node", name(node))["status"]["conditions"]} == {*before, found["type"]}
    assert driver.verify().state is StepState.DONE


def test_a_cleared_condition_says_so_once(act: Act, admin: Admin, node: Object) -> None:
    driver = act(StepKind.CONDITION, node, arguments=CONDITION)
    driver.run()
    undo: Driver = act(undo_of(driver.plan))

    changed = [undo.run().changed, act(undo.plan).run().changed]

    assert changed == [True, False]
    assert (condition(admin, node)["status"], condition(admin, node)["reason"]) == ("False", "Cleared")
    assert len(events(admin, node, "Cleared")) == 1
    assert undo.verify().state is StepState.DONE
    assert driver.verify().state is StepState.FAILED


def test_a_condition_that_another_plan_has_set_since_is_not_cleared(act: Act, admin: Admin, node: Object) -> None:
    one, two = (act(StepKind.CONDITION, node, arguments=CONDITION, incident=name) for name in ("INC-1", "INC-2"))
    one.run()
    two.run()

    assert act(undo_of(one.plan)).run().state is StepState.SKIPPED
    assert condition(admin, node)["status"] == "True"


def test_a_type_that_names_what_is_well_is_false_at_a_fault(act: Act, admin: Admin, node: Object) -> None:
    kind = "WatchstanderGPUHealthy"

    driver = act(StepKind.CONDITION, node, arguments={**CONDITION, "type": kind})

    assert (driver.run().detail, driver.verify().state) == (
        f"Node {name(node)}: condition {kind}=False, and an event",
        StepState.DONE,
    )


def test_a_taint_that_changed_while_we_looked_is_read_anew(act: Act, admin: Admin, node: Object) -> None:
    driver = act(StepKind.TAINT, node, arguments=TAINT)
    client, patch, met = driver.steps._client, driver.steps._client.patch, []

    def somebody_is_quicker(path: str, body: object, **more: object) -> Object:
        if not met:
            admin.patch("Node", name(node), {"spec": {"taints": [OTHERS]}})
        met.append(json.dumps(body))
        return patch(path, body, **more)  # type: ignore[arg-type]

    client.patch = somebody_is_quicker  # type: ignore[method-assign,assignment]

    assert driver.run().state is StepState.DONE
    assert (len(met), taints(admin, node)) == (2, [OTHERS, TAINT])
