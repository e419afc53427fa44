"""Killed between any two requests, before or after one was carried out, and begun anew: as if nothing had happened.

Death is tried at every request of a step, one run each. A dead process keeps its journaled memo and nothing else.
"""

from collections.abc import Callable
from typing import Any

import pytest
from acting import Driver, a_moment, client_of, plan_of, settings, target_of, undo_of

from policies.cluster.client import Json, KubeClient
from policies.cluster.marks import OWN_PREFIX
from policies.cluster.steps import ClusterSteps
from policies.cluster.template import Match, Template
from policies.journal import StepState
from policies.plan import Plan, StepKind
from testcluster import objects
from testcluster.admin import Object
from testcluster.space import Space

MOST_REQUESTS = 60


class Died(BaseException):
    """kill -9."""


class Mortal(KubeClient):
    """Dies at a request, before it is sent or after it was carried out."""

    dies_at, after, requests = -1, False, 0

    def _ask(self, method: str, path: str, body: Any = None, **more: Any) -> Json:
        at, self.requests = self.requests, self.requests + 1
        if at == self.dies_at and not self.after:
            raise Died
        answer = super()._ask(method, path, body, **more)
        # One that met a conflict was not carried out: it dies after the next that is.
        if self.after and 0 <= self.dies_at <= at:
            self.dies_at = -1
            raise Died
        return answer


class Life:
    """A step that is driven to its end, through at most one death."""

    def __init__(self, space: Space, plan: Plan, known: dict[str, Any], dies_at: int = -1, after: bool = False) -> None:
        plane = space.plane
        self.client = Mortal.at(plane.url, plane.token_file(), plane.ca_file)
        self.client.dies_at, self.client.after = dies_at, after
        self.driver = Driver(ClusterSteps(self.client, settings(**known)), plan, a_moment)
        self.died = False

    def run(self) -> StepState:
        """How it ended."""
        while True:
            try:
                return self.driver.run().state
            except Died:
                self.died = True


def every_death(space: Space, make: Callable[[], tuple[Plan, Callable[[], Any]]], known: dict[str, Any]) -> None:
    """`make` gives a fresh plan and what to look at afterwards; the outcome must be that of an undisturbed run."""
    plan, look = make()
    undisturbed = Life(space, plan, known)
    expected = (undisturbed.run(), look())
    deaths = 0
    for at in range(MOST_REQUESTS):
        any_died = False
        for after in (False, True):
            plan, look = make()
            life = Life(space, plan, known, at, after)
            state = life.run()
            if life.died:
                any_died, deaths = True, deaths + 1
                done = state if state is expected[0] or state is not StepState.SKIPPED else expected[0]
                assert (done, look()) == expected, f"died at request {at}, after={after}: {life.driver.looks}"
        if not any_died:
            break
    assert deaths >= 4


def node_story(space: Space, kind: StepKind, arguments: dict[str, str], undo: bool) -> None:
    def make() -> tuple[Plan, Callable[[], Any]]:
        node = space.admin.get("Node", space.add_nodes(1)[0])
        name, plan = node["metadata"]["name"], plan_of(kind, target_of(node), arguments)
        if undo:
            Driver(ClusterSteps(client_of(space.plane)), plan, a_moment).run()
            plan = undo_of(plan)

        def look() -> Any:
            found = space.admin.get("Node", name)
            noted = {**found["metadata"]["labels"], **found["metadata"]["annotations"]}
            conditions = found["status"]["conditions"]
            events = space.admin.list("Event.events.k8s.io", "default", fields=f"regarding.name={name}")
            seen = (
                found["spec"].get("unschedulable", False),
                [one for one in found["spec"].get("taints", []) if one["key"].startswith(OWN_PREFIX)],
                {key: value for key, value in noted.items() if key.startswith(OWN_PREFIX)},
                [(one["status"], one["message"]) for one in conditions if one["type"].startswith("Watchstander")],
                sorted(one["reason"] for one in events if one["reportingController"] == "watchstander.io/agent"),
            )
            # Each run has a node, and so a plan, of its own.
            return repr(seen).replace(plan.id, "PLAN").replace(name, "NODE")

        return plan, look

    every_death(space, make, {})


@pytest.mark.parametrize("undo", [False, True], ids=["done", "undone"])
@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (StepKind.CORDON, {}),
        (StepKind.TAINT, {"key": "watchstander.io/xid", "value": "79"}),
        (StepKind.LABEL, {"key": "watchstander.io/suspect", "value": "gpu"}),
        (StepKind.CONDITION, {"reason": "Xid79", "message": "off the bus"}),
    ],
    ids=["cordon", "taint", "label", "condition"],
)
def test_a_step_on_a_node_survives_every_death(
    kind: StepKind, arguments: dict[str, str], undo: bool, cluster: Space
) -> None:
    node_story(cluster, kind, arguments, undo)


@pytest.mark.timeout(300)
def test_a_drain_survives_every_death(cluster: Space) -> None:
    def make() -> tuple[Plan, Callable[[], Any]]:
        name = cluster.add_nodes(1)[0]
        admin, job = cluster.admin, f"train-{name[-2:]}"
        made = objects.indexed_job(job, cluster.namespace, 2, 2, nodeSelector={"kubernetes.io/hostname": name})
        admin.create(made)
        cluster.running(f"app={job}", 2)
        admin.cordon(name)
        node = admin.get("Node", name)

        def look() -> Any:
            return admin.list("Pod", fields=f"spec.nodeName={name},status.phase!=Failed")

        return plan_of(StepKind.EVICT, target_of(node)), look

    every_death(cluster, make, {"evict_at_once": 1})


@pytest.mark.timeout(300)
def test_a_restart_survives_every_death_and_happens_once(cluster: Space) -> None:
    cluster.add_nodes(4)
    count = 0

    def make() -> tuple[Plan, Callable[[], Any]]:
        nonlocal count
        count += 1
        admin, name = cluster.admin, f"train-{count}"
        job = objects.indexed_job(name, cluster.namespace, 2, 0, nodeSelector=cluster.selector)
        made = admin.create(job)
        before = {pod["metadata"]["uid"] for pod in cluster.running(f"app={name}", 2)}

        def look() -> Any:
            now = {pod["metadata"]["uid"] for pod in cluster.running(f"app={name}", 2)}
            found = admin.get("Job", name, cluster.namespace)
            generation = found["metadata"]["generation"]  # two turns of the switch, no more
            seen = (found["spec"]["suspend"], found["status"].get("failed", 0), len(now & before), generation)
            admin.delete("Job", name, cluster.namespace, propagationPolicy="Background")
            return seen

        return plan_of(StepKind.RESTART_JOB, target_of(made)), look

    every_death(cluster, make, {})


@pytest.mark.parametrize("kind", [StepKind.RESET_GPU, StepKind.REBOOT_NODE])
def test_a_job_from_a_template_is_created_once_however_often_we_die(kind: StepKind, cluster: Space) -> None:
    admin = cluster.admin
    manifest = objects.plain_job("x", cluster.namespace, 1, 0)
    manifest["metadata"] = {"namespace": cluster.namespace, "labels": {"node": "${node}"}}
    template = Template("jobs", manifest, (Match("status.active", "1"),))

    def make() -> tuple[Plan, Callable[[], Any]]:
        name = cluster.add_nodes(1)[0]
        admin.cordon(name)
        node: Object = admin.get("Node", name)

        def look() -> Any:
            return len(admin.list("Job", cluster.namespace, labels=f"node={name}"))

        plan = plan_of(kind, target_of(node), {"gpu": "GPU-1", "deadline_seconds": "20"})
        return plan, look

    every_death(cluster, make, {"templates": {kind.value: template}})
