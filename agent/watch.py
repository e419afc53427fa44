"""The watch itself: batches in, findings, incidents and decisions out. No I/O, no clock of its own.

Agent, replay and demo all drive this one object, so that a replay gives what the day itself gave.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from agent.jobs.book import JobBook
from agent.jobs.record import AttemptRecord
from agent.learning import Fits, InlineFits
from collectors.model import Batch, Event, EventKind, Origin
from detectors.correlation.correlator import Correlator
from detectors.engine import Engine
from detectors.frame import NS
from detectors.model import Finding, Incident
from policies.engine import PolicyEngine
from policies.model import Decision, Mode
from policies.rules import Compiled, default_rules

TICK_S = 5
"""A tick at least this often."""
GRID_NS = NS
"""Ticks lie on whole seconds of the agent's clock, so that the same batches meet the same ticks on every replay. A
batch with an event or a suspicion is looked at by the next one; otherwise every `TICK_S` is enough."""
REMEMBER_NS = 3600 * NS
"""How long the findings of resolved incidents stay at hand."""


@dataclass(slots=True)
class Changes:
    """What one tick changed; each value replaces the one of the same id."""

    findings: list[Finding] = field(default_factory=list)
    incidents: list[Incident] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    """Events worth keeping: all but training steps, whose newest the job's row holds."""
    jobs: list[AttemptRecord] = field(default_factory=list)
    """Attempts of jobs as they stand now."""

    def __bool__(self) -> bool:
        return bool(self.findings or self.incidents or self.decisions or self.events or self.jobs)

    def add(self, more: "Changes") -> None:
        """Put later changes behind these."""
        self.findings += more.findings
        self.incidents += more.incidents
        self.decisions += more.decisions
        self.events += more.events
        self.jobs += more.jobs


class Watch:
    """Detectors, correlation and policy of one space (one origin and cluster)."""

    def __init__(
        self,
        origin: Origin,
        cluster: str,
        *,
        rules: Iterable[Compiled] | None = None,
        mode: Mode = Mode.AUDIT,
        depth: int = 10,
        fits: Fits | None = None,
    ) -> None:
        """`rules` default to the policy that ships. `depth`: looks kept a GPU (`detectors.engine.Engine`).

        `fits`: where models are learnt, within the tick by default.
        """
        self._fits = fits or InlineFits()
        self.engine = Engine(origin, depth)
        self.correlator = Correlator(cluster)
        self.policy = PolicyEngine(tuple(rules) if rules is not None else default_rules(), mode)
        self.jobs = JobBook(origin)
        self._events: list[Event] = []
        self._findings: dict[str, Finding] = {}
        self._incidents: dict[str, Incident] = {}
        self._urgent = False
        self._ticked_ns = 0
        self._passed_ns = 0
        """The last whole second gone by, looked at or not."""

    def receive(self, batch: Batch, received_ns: int) -> None:
        """Take in one batch. `received_ns` is the agent's clock, Unix ns, and never runs backwards."""
        if not self._ticked_ns:
            self._ticked_ns = self._passed_ns = received_ns // GRID_NS * GRID_NS - GRID_NS
        self.engine.receive(batch, received_ns)
        self._events.extend(event for event in batch.events if event.kind is not EventKind.TRAINING_STEP)
        self.jobs.hear(batch.events)
        self._urgent = self._urgent or bool(batch.events) or bool(batch.suspicion)

    def advance(self, now_ns: int) -> Changes:
        """Run all ticks that are due before `now_ns`; what is received at `now_ns` itself belongs to the next."""
        changes = Changes()
        while self._ticked_ns:
            due_ns = self._passed_ns + GRID_NS
            if not self._urgent:
                due_ns = max(due_ns, self._ticked_ns + TICK_S * GRID_NS)
            if due_ns >= now_ns:
                self._passed_ns = max(self._passed_ns, (now_ns - 1) // GRID_NS * GRID_NS)
                break
            changes.add(self.tick(due_ns))
        return changes

    def tick(self, now_ns: int) -> Changes:
        """Look at everything received up to now."""
        self._ticked_ns, self._passed_ns, self._urgent = now_ns, now_ns, False
        changes = Changes(events=self._events)
        self._events = []
        changes.findings = self.engine.tick(now_ns)
        for finding in changes.findings:
            self._findings[finding.id] = finding
        changes.incidents = self.correlator.update(changes.findings, now_ns)
        self._decide(changes, now_ns)
        changes.jobs = self.jobs.tick(now_ns, changes.findings, changes.incidents, self._findings, self.engine)
        self._fits.poll(self.engine.unusual, now_ns)
        self._forget(now_ns)
        return changes

    def restore(
        self,
        findings: Iterable[Finding],
        incidents: Iterable[Incident],
        decisions: Iterable[Decision],
        jobs: Iterable[AttemptRecord] = (),
    ) -> None:
        """Take over what was open before a restart; nothing resolves by itself meanwhile."""
        findings = list(findings)
        self._findings.update((f.id, f) for f in findings)
        self.engine.restore(f for f in findings if f.cleared_ns is None)
        incidents = list(incidents)
        self._incidents.update((i.id, i) for i in incidents)
        self.correlator.restore(incidents, findings)
        self.policy.restore(decisions)
        self.jobs.restore(jobs, findings, self.engine.inventory)

    def _decide(self, changes: Changes, now_ns: int) -> None:
        for incident in changes.incidents:
            self._incidents[incident.id] = incident
        again = (self._incidents[i] for i in self.policy.due(now_ns) if i in self._incidents)
        for incident in {i.id: i for i in (*changes.incidents, *again)}.values():
            findings = [self._findings[f] for f in incident.findings if f in self._findings]
            decision = self.policy.decide(incident, findings, self.engine.inventory, now_ns)
            if decision is not None:
                changes.decisions.append(decision)

    def _forget(self, now_ns: int) -> None:
        over = [i for i in self._incidents.values() if i.resolved_ns and now_ns - i.resolved_ns > REMEMBER_NS]
        for incident in over:
            del self._incidents[incident.id]
            for finding in incident.findings:
                self._findings.pop(finding, None)
