"""A process that carries plans out, and kills or pauses itself at a point that its parent names.

    python executor_process.py STORE_URL API_URL TOKEN_FILE CA_FILE

reads one JSON line an errand on stdin and runs each in a fork of its own, so that an errand costs milliseconds and a
`kill -9` takes nothing else along. Answers on stdout: {"pid": ...} at once, {"status": ...} when the fork is gone.

An errand: {"identity": ..., "die_at": K, "pause_at_write": bool, "lease": [namespace, seconds] or null, "seconds": S}.
"""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from agent.actions.lease import Lease
from agent.store.store import open_store
from policies.cluster.client import KubeClient
from policies.cluster.steps import ClusterSteps
from policies.executor import Executor, Patience
from policies.journal import PlanEntry, Progress
from policies.plan import Plan

QUICK = Patience(first_retry=0.1, longest_retry=0.5, look_again=0.1)


class Points:
    """Counts the points between two steps of anything; dies at one of them."""

    def __init__(self, die_at: int, report: Path | None) -> None:
        self.count = 0
        self._die_at = die_at
        self._report = report

    def pass_(self, what: str) -> None:
        self.count += 1
        if self._report is not None:
            with self._report.open("a") as file:
                file.write(f"{what}\n")
        if self.count == self._die_at:
            os.kill(os.getpid(), signal.SIGKILL)


class DyingJournal:
    """The real one, with a point before and after each write."""

    def __init__(self, journal: Any, points: Points) -> None:
        self._journal, self._points = journal, points

    def open(self, entry: PlanEntry) -> PlanEntry:
        self._points.pass_("before open")
        opened: PlanEntry = self._journal.open(entry)
        self._points.pass_("after open")
        return opened

    def get(self, plan_id: str) -> PlanEntry | None:
        found: PlanEntry | None = self._journal.get(plan_id)
        return found

    def unfinished(self) -> list[PlanEntry]:
        found: list[PlanEntry] = self._journal.unfinished()
        return found

    def write(self, entry: PlanEntry, *, actor: str, what: str, detail: str) -> PlanEntry:
        self._points.pass_(f"before write {what}")
        written: PlanEntry = self._journal.write(entry, actor=actor, what=what, detail=detail)
        self._points.pass_(f"after write {what}")
        return written


class DyingCluster:
    """The real one, with a point before and after each step's look."""

    def __init__(self, cluster: ClusterSteps, points: Points) -> None:
        self._cluster, self._points = cluster, points

    def advance(self, plan: Plan, step_index: int, memo: dict[str, str], now_ns: int) -> Progress:
        self._points.pass_(f"before {plan.steps[step_index].kind}")
        progress = self._cluster.advance(plan, step_index, memo, now_ns)
        self._points.pass_(f"after {plan.steps[step_index].kind}")
        return progress

    def verify(self, plan: Plan, step_index: int, memo: dict[str, str], now_ns: int) -> Progress:
        return self._cluster.verify(plan, step_index, memo, now_ns)


class PausingClient(KubeClient):
    """Stops its own process right before its first patch: after the claim, before the write."""

    paused = False

    def patch(self, path: str, body: Any, **more: Any) -> dict[str, Any]:
        if not self.paused:
            self.paused = True
            os.kill(os.getpid(), signal.SIGSTOP)
        return super().patch(path, body, **more)


def run(store_url: str, api: str, token: Path, ca: Path, errand: dict[str, Any]) -> int:
    """Carry on until nothing is left, or the time is up; 0: nothing is left."""
    store = open_store(store_url, create=False)
    report = Path(errand["report"]) if errand.get("report") else None
    points = Points(errand.get("die_at") or 0, report)
    lease: Lease | None = None
    stop = threading.Event()
    if errand.get("lease"):
        namespace, seconds = errand["lease"]
        lease = Lease(
            KubeClient.at(api, token, ca, read_seconds=2.0),
            namespace,
            "watchstander",
            errand["identity"],
            seconds=seconds,
            floor=store.journal.highest_generation,
        )
        threading.Thread(target=lease.run, args=(stop,), daemon=True).start()
    kind = PausingClient if errand.get("pause_at_write") else KubeClient
    client = kind.at(api, token, ca, fence=lease.check if lease else None)
    executor = Executor(
        DyingJournal(store.journal, points),
        DyingCluster(ClusterSteps(client), points),
        lambda entry, index, beside: [],
        time.time_ns,
        holder=errand["identity"],
        generation=lease.generation if lease else (lambda now_ns: 1),
        patience=QUICK,
    )
    until = time.monotonic() + errand.get("seconds", 30)
    while time.monotonic() < until:
        for entry in executor.due():
            executor.carry_on(entry)
        if not [entry for entry in store.journal.unfinished() if not entry.is_undo]:
            stop.set()
            return 0
        time.sleep(0.02)
    return 1


def main() -> None:
    store_url, api, token, ca = sys.argv[1:]
    for line in sys.stdin:
        errand = json.loads(line)
        child = os.fork()
        if child == 0:
            code = 2
            try:
                code = run(store_url, api, Path(token), Path(ca), errand)
            finally:
                os._exit(code)
        print(json.dumps({"pid": child}), flush=True)
        if errand.get("wait", True):
            _, status = os.waitpid(child, 0)
            print(json.dumps({"status": os.waitstatus_to_exitcode(status)}), flush=True)


if __name__ == "__main__":
    main()
