"""The manifests of `watchstander rbac`, as data."""

import pytest
import yaml

from agent.cli.main import main
from policies.cluster.needs import NEEDS, Need
from policies.cluster.rbac import PEOPLE, READS, manifests, roles_for_people, rules, steps_of
from policies.model import ActionKind, Mode
from policies.plan import UNDO, StepKind

AUDIT_KINDS = ["ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"]
CHANGES = {"create", "update", "patch", "delete", "deletecollection"}
ASKS = {("authentication.k8s.io", "tokenreviews", "create"), ("authorization.k8s.io", "subjectaccessreviews", "create")}


def granted(made: list[dict[str, object]], kind: str = "ClusterRole") -> set[Need]:
    """Everything that the roles of a kind grant."""
    found = set()
    for one in made:
        for rule in one.get("rules", ()) if one["kind"] == kind else ():
            found |= {(g, r, v) for g in rule["apiGroups"] for r in rule["resources"] for v in rule["verbs"]}
    return found


def test_in_audit_mode_nothing_changes_anything_but_its_own_lease() -> None:
    made = manifests(Mode.AUDIT, list(ActionKind))

    assert granted(made) == set(READS)
    assert {need for need in granted(made) if need[2] in CHANGES} == ASKS
    assert [rule for one in made if one["kind"] == "Role" for rule in one["rules"]] == [
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
        {
            "apiGroups": ["coordination.k8s.io"],
            "resources": ["leases"],
            "verbs": ["get", "update"],
            "resourceNames": ["watchstander"],
        },
    ]


@pytest.mark.parametrize(
    ("action", "steps"),
    [
        (ActionKind.NOTIFY, set()),
        (ActionKind.CORDON, {"cordon", "uncordon"}),
        (ActionKind.TAINT, {"taint", "untaint"}),
        (ActionKind.LABEL, {"label", "unlabel"}),
        (ActionKind.CONDITION, {"condition", "clear_condition"}),
        (ActionKind.EVICT, {"cordon", "uncordon", "checkpoint", "evict"}),
        (ActionKind.RESTART_JOB, {"checkpoint", "restart_job"}),
        (ActionKind.RESET_GPU, {"cordon", "uncordon", "checkpoint", "evict", "label", "unlabel", "reset_gpu"}),
        (ActionKind.REBOOT_NODE, {"cordon", "uncordon", "checkpoint", "evict", "label", "unlabel", "reboot_node"}),
    ],
)
def test_an_action_comes_to_these_steps(action: ActionKind, steps: set[str]) -> None:
    assert {step.value for step in steps_of([action])} == steps


@pytest.mark.parametrize("mode", [Mode.APPROVE, Mode.ENFORCE])
@pytest.mark.parametrize("action", list(ActionKind))
def test_where_it_may_act_it_gets_what_the_steps_need_and_no_more(mode: Mode, action: ActionKind) -> None:
    needed = {need for step in steps_of([action]) for need in NEEDS[step]}

    assert granted(manifests(mode, [action])) == set(READS) | needed


def test_jobs_of_other_kinds_are_left_alone() -> None:
    found = granted(manifests(Mode.ENFORCE, [ActionKind.RESTART_JOB], jobs=frozenset({"Job"})))

    assert {need for need in found if need[2] in CHANGES} - ASKS == {("batch", "jobs", "patch")}


def test_what_resets_create_is_granted_where_it_is_named_and_jobs_in_one_namespace_only() -> None:
    made = manifests(
        Mode.ENFORCE,
        [ActionKind.REBOOT_NODE],
        templates=frozenset({"Job", "RebootNode"}),
        template_namespace="maintenance",
    )
    role = next(one for one in made if one["kind"] == "Role" and one["metadata"].get("namespace") == "maintenance")

    assert ("janitor.dgxc.nvidia.com", "rebootnodes", "create") in granted(made)
    assert ("batch", "jobs", "create") not in granted(made)
    assert role["rules"] == [{"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create", "get"]}]


def test_nothing_that_gives_more_rights_is_ever_granted() -> None:
    every = granted(manifests(Mode.ENFORCE, list(ActionKind))) | granted(
        manifests(Mode.ENFORCE, list(ActionKind)), "Role"
    )
    risky = {"secrets", "configmaps", "serviceaccounts/token", "pods/exec", "pods/attach", "nodes/proxy", "pods"}

    assert {need for need in every if need[0] == "rbac.authorization.k8s.io" or "*" in need} == set()
    assert {need for need in every if need[1] in risky and need[2] in CHANGES} == {("", "pods", "delete")}
    assert ("", "pods", "delete") not in granted(
        manifests(Mode.ENFORCE, list(ActionKind), jobs=frozenset({"Job", "JobSet", "TrainJob", "Kueue"}))
    )


def test_roles_for_people_hold_what_the_agents_own_roles_ask_for() -> None:
    from agent.access.authorise import Role
    from agent.access.kubernetes import GROUP, INGEST_RIGHT, RIGHTS

    held = {name: {(verb, resource) for _, resource, verb in needs} for name, needs in PEOPLE.items()}

    assert held == {
        "watchstander-viewer": {RIGHTS[Role.READ]},
        "watchstander-operator": {RIGHTS[Role.READ], RIGHTS[Role.ACKNOWLEDGE]},
        "watchstander-approver": {RIGHTS[Role.READ], RIGHTS[Role.ACKNOWLEDGE], RIGHTS[Role.APPROVE]},
        "watchstander-admin": set(RIGHTS.values()),
        "watchstander-collector": {INGEST_RIGHT},
    }
    assert {group for needs in PEOPLE.values() for group, _, _ in needs} == {GROUP}
    assert {one["metadata"]["name"]: granted([one]) for one in roles_for_people()} == {
        name: set(needs) for name, needs in PEOPLE.items()
    }


def test_rules_grant_exactly_what_is_needed() -> None:
    needs = {("", "nodes", "get"), ("", "pods", "get"), ("", "pods", "list"), ("batch", "jobs", "get")}

    assert granted([{"kind": "ClusterRole", "rules": rules(needs)}]) == needs
    assert len(rules(needs)) == 3


@pytest.mark.parametrize(
    ("arguments", "kinds"),
    [
        pytest.param([], AUDIT_KINDS, id="audit"),
        pytest.param(["--people"], ["ClusterRole"] * 5, id="people"),
        pytest.param(
            ["--mode", "enforce", "--actions", "cordon"],
            [
                "ServiceAccount",
                "ClusterRole",
                "ClusterRoleBinding",
                "Role",
                "RoleBinding",
                "ClusterRole",
                "ClusterRoleBinding",
            ],
            id="enforce",
        ),
    ],
)
def test_the_command_prints_yaml(capsys: pytest.CaptureFixture[str], arguments: list[str], kinds: list[str]) -> None:
    assert main(["rbac", *arguments]) == 0
    assert [one["kind"] for one in yaml.safe_load_all(capsys.readouterr().out)] == kinds


def test_the_command_grants_what_the_policy_file_needs(capsys: pytest.CaptureFixture[str], tmp_path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("version: 1\nrules:\n  - {name: a, description: b, actions: [notify, taint]}\n")
    assert main(["rbac", "--mode", "enforce", "--policy", str(policy)]) == 0
    found = granted(list(yaml.safe_load_all(capsys.readouterr().out)))

    assert {need for need in found if need[2] in CHANGES} - ASKS == {("", "nodes", "patch")}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--actions", "explode"], "--actions explode: no such one; there are notify, cordon"),
        (["--jobs", "Sparks"], "--jobs Sparks: no such one; there are Job, JobSet"),
        (["--templates", "Sparks"], "--templates Sparks: no such one; there are Job, RebootNode"),
        (["--namespace", "A_B"], "--namespace A_B: no name in Kubernetes"),
        (["--namespace", "a.b"], "--namespace a.b: no name in Kubernetes"),
        (["--account", "a..b"], "--account a..b: no name in Kubernetes"),
        (["--lease", "x\n- y"], "no name in Kubernetes"),
        (["--template-namespace", "n" * 64], "no name in Kubernetes"),
    ],
)
def test_a_word_that_is_not_known_is_one_line(capsys: pytest.CaptureFixture[str], arguments, says) -> None:
    assert main(["rbac", *arguments]) == 3
    assert says in capsys.readouterr().err


def test_every_undo_is_granted_with_its_step() -> None:
    kinds = steps_of(list(ActionKind))

    assert kinds == frozenset(StepKind)
    assert {UNDO[kind] for kind in kinds if kind in UNDO} <= kinds
