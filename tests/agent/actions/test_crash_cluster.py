"""Killed at any point between two steps and started again: repeating changes nothing, nothing is forgotten.

Real processes, SIGKILL, the real store and a real API server, whose own audit log counts the writes.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from migrated_stores import migrated

from agent.store.store import Store, open_store
from policies.executor import entry_for
from policies.journal import PlanState, StepState
from policies.plan import Blast, Plan, Step, StepKind, Target, make_plan
from testcluster.space import Space

pytestmark = pytest.mark.cluster
KILLED = -signal.SIGKILL
HERE = Path(__file__).parent


class Carrier:
    """The process that forks one carrier of plans an errand."""

    def __init__(self, store_url: str, cluster: Space) -> None:
        plane = cluster.plane
        command = [HERE / "executor_process.py", store_url, plane.url, plane.token_file(), plane.ca_file]
        self.process = subprocess.Popen(
            [sys.executable, *map(str, command)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def begin(self, **errand: Any) -> int:
        """Its pid."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps({"identity": "agent-1", **errand}) + "\n")
        self.process.stdin.flush()
        return int(self._read()["pid"])

    def run(self, **errand: Any) -> int:
        """How it ended: 0, all done; -9, killed."""
        self.begin(**errand)
        return int(self._read()["status"])

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, "the carrier is gone"
        read: dict[str, Any] = json.loads(line)
        return read

    def close(self) -> None:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        try:
            self.process.wait(60)
        finally:  # nothing of it may reach the tests after this one
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    return migrated(tmp_path / "store.db")


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """Beside the carriers, without the agent's lock."""
    made = open_store(store_url, create=False)
    yield made
    made.close()


@pytest.fixture
def carrier(store_url: str, cluster: Space) -> Iterator[Carrier]:
    made = Carrier(store_url, cluster)
    yield made
    made.close()


def plan_for(cluster: Space, name: str, pods: list[str] = []) -> Plan:  # noqa: B006 - read only
    """Cordon, taint, label, and evict what runs there."""
    node = cluster.admin.get("Node", name)
    target = Target("v1", "Node", "", name, node["metadata"]["uid"])
    steps = [
        Step(StepKind.CORDON, target, words=f"cordon node {name}"),
        Step(StepKind.TAINT, target, {"key": "watchstander.io/fault", "value": "xid", "effect": "NoSchedule"}),
        Step(StepKind.LABEL, target, {"key": "watchstander.io/fault", "value": "xid"}),
    ]
    if pods:
        steps.append(Step(StepKind.EVICT, target, {"pods": ",".join(sorted(pods)), "deadline_seconds": "60"}))
    return make_plan(f"INC-{name[-12:]}", "DEC-1", "r", tuple(steps), Blast(nodes=1), time.time_ns())


def writes_to(cluster: Space, name: str) -> list[tuple[str, str]]:
    """Successful writes to a node by us, as the API server's audit log has them."""
    return [
        (write.verb, write.resource)
        for write in cluster.plane.writes("admin")
        if write.name == name and write.code < 300 and write.verb != "create"
    ]


def until(true: Callable[[], Any], seconds: float = 40.0) -> None:
    """Wait for it."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)


def test_killed_at_any_point_a_plan_is_carried_out_once(
    cluster: Space, carrier: Carrier, store: Store, tmp_path: Path
) -> None:
    """Every write of the journal and every look at a step, before and after: none costs or repeats a write."""
    (first,) = cluster.add_nodes(1)
    report = tmp_path / "points"
    baseline = plan_for(cluster, first)
    store.journal.open(entry_for(baseline, PlanState.READY))
    assert carrier.run(report=str(report)) == 0
    points = report.read_text().splitlines()
    expected = writes_to(cluster, first)
    assert expected == [("patch", "nodes")] * 3
    names = cluster.add_nodes(len(points))

    outcomes = {}
    for number, (point, name) in enumerate(zip(points, names), 1):
        made = plan_for(cluster, name)
        store.journal.open(entry_for(made, PlanState.READY))
        killed = carrier.run(die_at=number)
        again = carrier.run()
        entry = store.journal.get(made.id)
        assert entry is not None
        outcomes[f"{number} {point}"] = (
            killed,
            again,
            entry.state.value,
            [step.state for step in entry.steps],
            writes_to(cluster, name),
        )

    as_it_should_be = (KILLED, 0, "done", [StepState.DONE] * 3, expected)
    # killed after the very last write there is nothing left to do the second time
    assert outcomes == dict.fromkeys(outcomes, as_it_should_be)
    assert len(points) >= 14
    assert store.verify_audit() is None
    done = [
        one.what for one in store.journal.taken(0) if one.node == cluster.admin.get("Node", names[0])["metadata"]["uid"]
    ]
    assert done == ["cordon", "taint", "label"]


def test_a_drain_that_is_cut_off_evicts_each_pod_once(cluster: Space, carrier: Carrier, store: Store) -> None:
    """Killed while pods are ending, and again; the plan ends as if nothing had happened."""
    (name,) = cluster.add_nodes(1, gpus=8)
    pods = cluster.run_job(pods=2, gpus=2)
    uids = [pod["metadata"]["uid"] for pod in pods]
    made = plan_for(cluster, name, uids)
    store.journal.open(entry_for(made, PlanState.READY))

    ends = [carrier.run(die_at=die_at) for die_at in (13, 2, 1)]
    last = carrier.run(seconds=60)
    entry = store.journal.get(made.id)

    assert ends == [KILLED] * 3
    assert (last, entry.state if entry else None) == (0, PlanState.DONE)
    names = {pod["metadata"]["name"] for pod in pods}
    evicted = [
        write.name
        for write in cluster.plane.writes("admin")
        if write.resource == "pods/eviction" and write.name in names and write.code < 300
    ]
    assert sorted(evicted) == sorted(names)


def test_a_restart_that_is_cut_off_again_and_again_moves_the_gang_once(
    cluster: Space, carrier: Carrier, store: Store
) -> None:
    """Killed at every second point until it is through: the job is suspended once, resumed once, and runs elsewhere."""
    cordoned, *_ = cluster.add_nodes(3, gpus=4)
    before = cluster.run_job(pods=2, gpus=4)
    job = cluster.admin.get("Job", "train", cluster.namespace)
    node = Target("v1", "Node", "", cordoned, cluster.admin.get("Node", cordoned)["metadata"]["uid"])
    owner = Target("batch/v1", "Job", cluster.namespace, "train", job["metadata"]["uid"])
    steps = (Step(StepKind.CORDON, node), Step(StepKind.RESTART_JOB, owner, {"pods_seen": "2"}))
    made = make_plan(f"INC-{cordoned[-12:]}", "DEC-1", "r", steps, Blast(nodes=1), time.time_ns())
    store.journal.open(entry_for(made, PlanState.READY))

    deaths = 0
    while carrier.run(die_at=4, seconds=60) == KILLED:
        deaths += 1
        assert deaths < 60

    entry = store.journal.get(made.id)
    assert entry is not None
    assert (entry.state, [step.state for step in entry.steps]) == (PlanState.DONE, [StepState.DONE] * 2)
    after = cluster.running("app=train", 2)
    assert not {pod["metadata"]["uid"] for pod in before} & {pod["metadata"]["uid"] for pod in after}
    assert cordoned not in {pod["spec"]["nodeName"] for pod in after}
    ours = [
        write.verb
        for write in cluster.plane.writes("admin")
        if (write.resource, write.namespace, write.name) == ("jobs", cluster.namespace, "train") and write.code < 300
    ]
    assert ours == ["create", "patch", "patch"]
    assert deaths > 2


def test_a_leader_paused_between_claim_and_write_and_then_woken_is_refused(
    cluster: Space, store_url: str, store: Store
) -> None:
    """The second does the step under the next generation; nothing is written twice."""
    (name,) = cluster.add_nodes(1)
    made = plan_for(cluster, name)
    store.journal.open(entry_for(made, PlanState.READY))
    first, second = Carrier(store_url, cluster), Carrier(store_url, cluster)
    lease = [cluster.namespace, 5.0]
    try:
        paused = first.begin(identity="first", lease=lease, pause_at_write=True, wait=False, seconds=60)
        until(lambda: _state_of(paused) == "T")
        claimed = store.journal.get(made.id)
        status = second.run(identity="second", lease=lease, seconds=40)
        by_second = store.journal.get(made.id)
        written = writes_to(cluster, name)
        os.kill(paused, signal.SIGCONT)
        until(lambda: _state_of(paused) in ("Z", ""))
    finally:
        first.close()
        second.close()

    assert claimed is not None
    assert (claimed.state, claimed.holder, claimed.generation) == (PlanState.RUNNING, "first", 1)
    assert status == 0
    assert by_second is not None
    assert (by_second.state, by_second.holder, by_second.generation) == (PlanState.DONE, "second", 2)
    assert written == [("patch", "nodes")] * 3
    assert writes_to(cluster, name) == written
    assert store.journal.get(made.id) == by_second
    assert store.verify_audit() is None


def _state_of(pid: int) -> str:
    """`T`: stopped, `Z`: ended; empty: gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""
