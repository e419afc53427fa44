"""Who holds a node."""

import pytest
from cluster_objects import a_node, live

from policies.cluster_view import OWN_CORDON
from policies.holders import SIGNS, On, Sign


def held(**of: object) -> tuple[str, bool]:
    cluster = live(problem_conditions=("OurPlugin",))
    cluster.put_nodes([a_node(**of)])
    node = cluster.node("uid-n1")
    assert node is not None
    return node.held_by, node.unavailable


def set_by(manager: str) -> dict[str, object]:
    notes = {"kubelet": {"f:metadata": {}}, manager: {"f:spec": {"f:unschedulable": {}}}}
    return {"managedFields": [{"manager": name, "fieldsV1": fields} for name, fields in notes.items()]}


def bearing(sign: Sign) -> dict[str, object]:
    key, value = sign.key.replace("*", "something"), sign.values[0] if sign.values else "yes"
    return {
        On.TAINT: {"taints": [{"key": key, "value": "", "effect": "NoSchedule"}]},
        On.LABEL: {"labels": {key: value}},
        On.ANNOTATION: {"annotations": {key: value}},
        On.CONDITION: {"conditions": {key: value}},
    }[sign.on]


@pytest.mark.parametrize("sign", SIGNS, ids=lambda sign: f"{sign.holder}: {sign.on} {sign.key}")
def test_each_sign_names_its_holder_and_makes_the_node_unavailable(sign: Sign) -> None:
    assert held(**bearing(sign)) == (sign.holder, True)


@pytest.mark.parametrize("sign", [sign for sign in SIGNS if sign.values], ids=lambda sign: f"{sign.on} {sign.key}")
def test_a_sign_with_another_value_means_nothing(sign: Sign) -> None:
    node = bearing(Sign(sign.holder, sign.on, sign.key, ("something-else",)))
    assert held(**node) == ("", False)


@pytest.mark.parametrize(
    ("node", "who"),
    [
        pytest.param({}, ("", False), id="nobody"),
        pytest.param({"unschedulable": True}, ("person", True), id="a cordon that nobody signed"),
        pytest.param(
            {"unschedulable": True, "annotations": {OWN_CORDON: "PLN-1"}}, ("watchstander", True), id="our cordon"
        ),
        pytest.param(
            {"unschedulable": True, "annotations": {OWN_CORDON: "PLN-1"}, **set_by("watchstander")},
            ("watchstander", True),
            id="our cordon, by the API server's notes",
        ),
        pytest.param(
            {"unschedulable": True, "annotations": {OWN_CORDON: "PLN-1"}, **set_by("kubectl-cordon")},
            ("person", True),
            id="a person's cordon after ours",
        ),
        pytest.param(
            {
                "unschedulable": True,
                "annotations": {OWN_CORDON: "PLN-1"},
                "taints": [{"key": "watchstander.io/faulty", "effect": "NoSchedule"}],
                **set_by("kubectl-cordon"),
            },
            ("person", True),
            id="a person's cordon beside our taint",
        ),
        pytest.param({"annotations": {OWN_CORDON: "PLN-1"}}, ("", False), id="our cordon, uncordoned by a person"),
        pytest.param(
            {"taints": [{"key": "watchstander.io/faulty", "effect": "NoSchedule"}]},
            ("watchstander", True),
            id="our taint",
        ),
        pytest.param(
            {
                "unschedulable": True,
                "annotations": {OWN_CORDON: "PLN-1", "quarantineHealthEventIsCordoned": "True"},
            },
            ("nvsentinel", True),
            id="others before ourselves",
        ),
        pytest.param(
            {"unschedulable": True, "taints": [{"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}]},
            ("cluster-autoscaler", True),
            id="a controller's cordon is no person's",
        ),
        pytest.param({"conditions": {"OurPlugin": "True"}}, ("node-problem-detector", True), id="by the settings"),
        pytest.param({"conditions": {"OurPlugin": "False"}}, ("", False), id="by the settings, but well"),
        pytest.param({"conditions": {"MemoryPressure": "True"}}, ("", False), id="pressure passes by itself"),
        pytest.param({"ready": "Unknown"}, ("", True), id="not ready is held by nobody, and unavailable"),
        pytest.param({"deletionTimestamp": "2027-01-15T08:00:00Z"}, ("", True), id="being deleted"),
        pytest.param(
            {"taints": [{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}]},
            ("", False),
            id="the taint of all GPU nodes",
        ),
    ],
)
def test_the_holder_of_a_node(node: dict[str, object], who: tuple[str, bool]) -> None:
    assert held(**node) == who
