"""Everything between a decision and the cluster, put together for one agent."""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from uuid import uuid4

from agent.access.kubernetes import KubernetesIdentities
from agent.access.plan_rights import missing_rights
from agent.actions.approval import ApprovalDesk
from agent.actions.heads import Heads
from agent.actions.judging import Judging
from agent.actions.lease import Lease, StoreLead
from agent.actions.outcome import Outcome
from agent.actions.pauses import Pauses
from agent.actions.runner import Runner
from agent.actions.taken import TakenBook
from agent.cluster.connect import kube_client
from agent.cluster.view import Elsewhere, LiveCluster
from agent.incidents.desk import Desk
from agent.server.spaces import Spaces
from agent.settings import Settings
from agent.store.leadership import NotLeading
from agent.store.store import Store
from agent.watch import Changes, Watch
from policies.cluster.reviews import KubeUser
from policies.engine import PolicyEngine
from policies.executor import Executor
from policies.journal import Cluster, PlanEntry
from policies.model import Mode
from policies.plan import Plan, StepKind

_log = logging.getLogger(__name__)

NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
LEASE_REQUEST_SECONDS = 3.0
"""Far below the lease: one that hangs must not cost it."""


class Actions:
    """Made for every agent; without a view of a cluster it carries nothing out, and leads alone."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        spaces: Spaces,
        clock: Callable[[], int],
        *,
        view: LiveCluster | None = None,
        kubernetes: KubernetesIdentities | None = None,
        environment: Mapping[str, str] | None = None,
        cluster: Cluster | None = None,
        name: str = "",
        stands: Callable[[int | None, bool], None] = lambda _generation, _anew: None,
    ) -> None:
        """`view`: of the cluster that is acted on. `cluster`: what carries steps out; by default the API server that
        the settings name. `name`: of this agent, the same after a restart.

        `stands` is called, in the lease's thread, where several agents may share the store: with the generation that
        this agent leads under (None: another leads), and whether another has led since this one last did.
        """
        self._settings = settings
        self._view = view
        self._spaces = spaces
        self._store = store
        self._clock = clock
        self._name = name
        self._stands = stands
        self.journal = store.journal
        self.taken = TakenBook(self.journal.taken, time.monotonic)
        self.pauses = Pauses(self.journal, time.monotonic)
        self.desk = Desk(store, spaces)
        self.outcome = Outcome(store, self.desk, self.engines, clock, self.taken.stale, under=self.under)
        self.approvals = ApprovalDesk(
            self.journal,
            seconds=settings.actions.approval_seconds,
            without_kubernetes=settings.actions.approve_without_kubernetes,
            kubernetes=kubernetes,
            own_rights=self._own_rights if settings.actions.approver_needs_own_rights else None,
            approved=self._approved,
        )
        self._shared = settings.store.url.startswith("postgres")
        self._was_led = False
        self._taken: int | None = None
        """The generation under which the store knows this agent as the leader."""
        self._stop = threading.Event()
        self._lease_thread: threading.Thread | None = None
        self.lead: Lease | StoreLead = StoreLead(1)
        self.executor: Executor | None = None
        self.runner: Runner | None = None
        self.acts = view is not None
        if view is not None:
            self._set_up(view, environment if environment is not None else os.environ, clock, cluster)
        self.heads = Heads(store, self.lead, settings.actions.audit_webhook, clock)

    def _own_rights(self, kubernetes: KubernetesIdentities, user: KubeUser, plan: Plan) -> str:
        """What of a plan this person may not do by hand; pods are looked for where they are now."""
        view = self._view
        nodes = {step.target.name for step in plan.steps if step.kind is StepKind.EVICT}
        pods = [pod for name in nodes for pod in view.pods_on(name)] if view is not None else []
        return missing_rights(kubernetes, user, plan, {pod.namespace for pod in pods if pod.gpus})

    def start(self) -> None:
        """Reach for the lead, then carry on what is due."""
        if self._no_cluster():
            _log.warning("%s", self._no_cluster())
        if isinstance(self.lead, Lease):
            self._lease_thread = threading.Thread(target=self.lead.run, args=(self._stop,), name="lease", daemon=True)
            self._lease_thread.start()
        if self.runner is not None:
            self.runner.start()

    def stop(self) -> None:
        """Let what is under way come to its next wait, then let go of the lead."""
        if self.runner is not None:
            self.runner.stop()
        self._stop.set()
        if isinstance(self.lead, Lease) and self._lease_thread is not None:
            self.lead.wake()
            self._lease_thread.join(2 * LEASE_REQUEST_SECONDS)

    def saved(self, changes: Changes) -> None:
        """The store has what a tick changed: what was decided may be due."""
        if self.runner is not None and any(decision.plan is not None for decision in changes.decisions):
            self.runner.wake()

    def engines(self) -> Iterable[PolicyEngine]:
        """Of the live watches over the cluster that is acted on."""
        name = self._settings.inventory.cluster
        return [
            space.watch.policy
            for space in self._spaces.live()
            if space.key[1] == name and isinstance(space.watch, Watch)
        ]

    def elsewhere(self) -> tuple[bool, str]:
        """Whether batches belong to another agent, and its address where that is known.

        Only where two can share a store. An agent that was the last to lead goes on taking batches in while the API
        server is away: it cannot act, but it watches.
        """
        lead = self.lead
        if not self.fenced or isinstance(lead, StoreLead):
            return False, ""
        if lead.generation() is not None:
            return False, ""
        if lead.led_by_another:
            return True, lead.leader_address
        return not self._was_led, ""

    @property
    def fenced(self) -> bool:
        """Whether several agents may share the store, one of which leads."""
        return self._shared and isinstance(self.lead, Lease)

    def under(self) -> int | None:
        """The generation to save the agent's own words under; None where nobody else writes to the store. Without the
        lead one under which nothing is saved any more once another leads."""
        return (self._taken or 0) if self.fenced else None

    def deposed(self, _why: str) -> None:
        """The store has refused a save: another agent leads. From any thread."""
        if isinstance(self.lead, Lease):
            self.lead.outdone()
        self._another_leads()

    def problems(self) -> list[str]:
        """Why nothing can be carried out now, one line each; empty where all is well."""
        said = [
            self._no_cluster(),
            f"lease: {self.lead.problem}" if self.lead.problem else "",
            f"actions: {self.runner.problem}" if self.runner is not None and self.runner.problem else "",
            self.heads.problem,
        ]
        return [line for line in said if line]

    def _no_cluster(self) -> str:
        mode = self._settings.policy.mode
        if mode is Mode.AUDIT or self.acts:
            return ""
        return f"policy.mode is {mode.value} and inventory.kubernetes is off: nothing is carried out, only recorded"

    def _set_up(
        self, view: LiveCluster, environment: Mapping[str, str], clock: Callable[[], int], cluster: Cluster | None
    ) -> None:
        settings = self._settings.actions
        namespace = settings.lease_namespace or own_namespace()
        self._store.lease = f"{self._settings.inventory.cluster}/{namespace}/{settings.lease_name}"
        lease = Lease(
            kube_client(self._settings.inventory, environment, read_seconds=LEASE_REQUEST_SECONDS),
            namespace,
            settings.lease_name,
            f"{socket.gethostname()}-{uuid4().hex[:8]}",
            address=settings.address,
            seconds=settings.lease_seconds,
            floor=self._highest_generation,
            led=self._led,
            stands_by=self._another_leads,
        )
        self.lead = lease
        if cluster is None:
            from agent.actions.step_settings import act_settings
            from policies.cluster.steps import ClusterSteps

            client = kube_client(self._settings.inventory, environment, fence=lease.check)
            cluster = ClusterSteps(client, act_settings(self._settings))
        judging = Judging(self.engines, view, clock)
        self.executor = Executor(
            self.journal,
            cluster,
            judging.judge,
            clock,
            holder=lease.identity,
            generation=lease.generation,
            stands=judging.stands,
            acted=self.outcome.acted,
            mitigated=self.outcome.mitigated,
        )
        self.runner = Runner(self.executor, look_seconds=settings.look_seconds, carried=self.outcome.carried)
        view.elsewhere = Elsewhere(taken=self.taken.since, leader=lease.leader, paused=self.pauses.why)

    def _highest_generation(self) -> int:
        return max(self.journal.highest_generation(), self._store.led().generation)

    def _led(self, generation: int | None) -> None:
        """Raises what the store raises: then this agent does not take anything in yet, and is asked again."""
        if generation is not None:
            if self._shared:
                self._take(generation)
            self._was_led = True
            if self.runner is not None:
                self.runner.wake()
        elif isinstance(self.lead, Lease) and self.lead.led_by_another:
            self._another_leads()

    def _take(self, generation: int) -> None:
        try:
            before = self._store.lead(generation, self._name, self._clock())
        except NotLeading:
            if isinstance(self.lead, Lease):
                self.lead.outdone()
            raise
        self._taken = generation
        anew = before.agent not in ("", self._name)
        if anew:
            _log.info(
                "agent %s led before, under generation %d: the watch begins anew", before.agent, before.generation
            )
        self._stands(generation, anew)

    def _another_leads(self) -> None:
        if self._taken is not None:
            _log.warning("not the leader any more: generation %d is over, this agent stands by", self._taken)
        self._was_led, self._taken = False, None
        if self._shared:
            self._stands(None, True)

    def _approved(self, entry: PlanEntry) -> None:
        for engine in self.engines():
            engine.plan_began(entry.plan)
        if self.runner is not None:
            self.runner.wake()


def own_namespace(file: Path = NAMESPACE) -> str:
    """Of the pod that the agent runs in; `default` outside one."""
    try:
        return file.read_text(encoding="ascii").strip() or "default"
    except (OSError, UnicodeDecodeError):
        return "default"
