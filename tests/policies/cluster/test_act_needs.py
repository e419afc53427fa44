"""The table of rights is exact: with them each step is carried out, and with any one less it is not."""

import re
from pathlib import Path

import pytest
from acting import Driver, a_moment, plan_of, settings, target_of

from policies.cluster.client import Forbidden, KubeClient
from policies.cluster.needs import JOB_NEEDS, NEEDS, TEMPLATE_NEEDS, Need, needs_of
from policies.cluster.steps import ClusterSteps
from policies.cluster.template_files import load_template
from policies.journal import StepState
from policies.plan import Plan, StepKind
from testcluster import objects
from testcluster.admin import Object
from testcluster.space import Space

ARGUMENTS = {
    StepKind.TAINT: {"key": "watchstander.io/fault", "value": "xid"},
    StepKind.LABEL: {"key": "watchstander.io/fault", "value": "xid"},
    StepKind.CHECKPOINT: {"how": "annotation", "deadline_seconds": "5"},
    StepKind.RESET_GPU: {"gpu": "GPU-1", "deadline_seconds": "5"},
    StepKind.REBOOT_NODE: {"deadline_seconds": "5"},
}
ON_JOBS = (StepKind.CHECKPOINT, StepKind.RESTART_JOB)
BY_TEMPLATE = (StepKind.RESET_GPU, StepKind.REBOOT_NODE)
OF_BATCH = frozenset({"Job"})
ALL = (StepKind.CORDON, StepKind.TAINT, StepKind.LABEL, StepKind.CONDITION, StepKind.EVICT, *ON_JOBS, *BY_TEMPLATE)


def needs(kind: StepKind) -> tuple[Need, ...]:
    """What the kind needs in a cluster whose only jobs are batch/v1 Jobs."""
    found = needs_of(frozenset({kind}), OF_BATCH)
    if kind is StepKind.CHECKPOINT:  # any owner may be asked: here it is a Job
        found = tuple(need for need in found if need in JOB_NEEDS["Job"])
    return (*found, *TEMPLATE_NEEDS["Job"]) if kind in BY_TEMPLATE else found


class Account:
    """A service account with certain rights and no others."""

    count = 0

    def __init__(self, space: Space, rights: tuple[Need, ...]) -> None:
        Account.count += 1
        name = f"agent-{Account.count}"
        space.admin.create(objects.service_account(name, space.namespace))
        rules = [objects.rule([verb], [resource], [group]) for group, resource, verb in rights]
        space.admin.create_all(objects.cluster_role(f"{space.namespace}-{name}", rules, name, space.namespace))
        self.token = Path(space.plane.at.folder, f"{space.namespace}-{name}.token")
        self.token.write_text(space.admin.token_request(name, space.namespace))
        self.client = KubeClient.at(space.plane.url, self.token, space.plane.ca_file)


def scene(space: Space, kind: StepKind) -> Plan:
    """Something to act on, and the plan."""
    name = space.add_nodes(1)[0]
    job = f"train-{name[-2:]}"
    pods = 0 if kind in BY_TEMPLATE else 1
    thing: Object = space.admin.get("Node", name)
    if pods:
        made = objects.indexed_job(job, space.namespace, 1, 1, nodeSelector={"kubernetes.io/hostname": name})
        created = space.admin.create(made)
        space.running(f"app={job}", 1)
        thing = created if kind in ON_JOBS else thing
    if kind is StepKind.EVICT or kind in BY_TEMPLATE:
        space.admin.cordon(name)
    return plan_of(kind, target_of(thing), ARGUMENTS.get(kind))


def steps_of(space: Space, client: KubeClient) -> ClusterSteps:
    templates = {kind.value: load_template(kind, "job") for kind in BY_TEMPLATE}
    return ClusterSteps(client, settings(templates=templates, image="registry.invalid/a:1", namespace=space.namespace))


@pytest.mark.parametrize("kind", ALL)
def test_a_step_needs_the_rights_of_the_table_and_no_other(kind: StepKind, cluster: Space) -> None:
    account = Account(cluster, needs(kind))
    driver = Driver(steps_of(cluster, account.client), scene(cluster, kind), a_moment)

    ended = driver.run()

    # Where an answer must come from others, it does not: the step has done its own part.
    expected = {StepKind.CHECKPOINT: StepState.SKIPPED}
    by_template = StepState.FAILED if kind in BY_TEMPLATE else StepState.DONE
    assert ended.state is expected.get(kind, by_template)
    if kind not in BY_TEMPLATE:
        driver.verify()
    assert any(look.changed for look in driver.looks)


@pytest.mark.parametrize(("kind", "missing"), [(kind, need) for kind in ALL for need in needs(kind)])
def test_a_step_with_one_right_less_says_which_it_misses(kind: StepKind, missing: Need, cluster: Space) -> None:
    group, resource, verb = missing
    account = Account(cluster, tuple(need for need in needs(kind) if need != missing))
    driver = Driver(steps_of(cluster, account.client), scene(cluster, kind), a_moment)

    said = "never refused"
    try:
        driver.run()
        driver.verify()
    except Forbidden as error:
        said = str(error)

    assert re.search(rf'cannot {verb} resource "{resource}" in API group "{group}"', said), said


def test_undoing_needs_no_more_than_doing() -> None:
    pairs = [
        (StepKind.CORDON, StepKind.UNCORDON),
        (StepKind.TAINT, StepKind.UNTAINT),
        (StepKind.LABEL, StepKind.UNLABEL),
        (StepKind.CONDITION, StepKind.CLEAR_CONDITION),
    ]

    assert [set(NEEDS[do]) == set(NEEDS[undo]) for do, undo in pairs] == [True] * 4
