"""The watch itself: batches in, findings, incidents and decisions out. No I/O, no clock of its own.

Agent, replay and demo all drive this one object, so that a replay gives what the day itself gave.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from agent.incidents.namespaces import placed
from agent.incidents.reach import gpus_of_jobs
from agent.jobs.book import JobBook
from agent.jobs.record import AttemptRecord
from agent.learning import Fits, InlineFits
from collectors.errors import GiveUp
from collectors.model import LIVE_ONLY, Batch, Event, EventKind, Origin
from detectors.correlation.correlator import Correlator
from detectors.engine import Engine
from detectors.frame import NS
from detectors.model import Finding, Incident, IncidentState, Inventory, Word, WordKind
from policies.engine import PolicyEngine, ViewOf
from policies.model import ActionKind, Decision, Mode
from policies.planner import NOTHING_LACKING, CanRestart, any_gang
from policies.rules import Compiled, Policy, default_policy

_log = logging.getLogger(__name__)

TICK_S = 5
"""A tick at least this often."""
GRID_NS = NS // 2
"""Ticks lie on half seconds of the agent's clock, so that the same batches meet the same ticks on every replay. A
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
        policy: Policy | None = None,
        mode: Mode = Mode.AUDIT,
        as_live: frozenset[Origin] = LIVE_ONLY,
        view: ViewOf | None = None,
        can_restart: CanRestart = any_gang,
        lacking: Mapping[ActionKind, str] = NOTHING_LACKING,
        depth: int = 10,
        fits: Fits | None = None,
        told: Callable[[Inventory, int], object] | None = None,
    ) -> None:
        """`policy` defaults to the one that ships; `rules` alone take the guards' default settings. `as_live`:
        origins that may be acted on. `view`: what is known of the cluster, asked at each decision. `depth`: looks kept
        a GPU (`detectors.engine.Engine`).

        `fits`: where models are learnt, within the tick by default. `told`: called at each tick with the inventory
        and now, to tell it what others than collectors know.
        """
        self._fits = fits or InlineFits()
        self._told = told
        self.engine = Engine(origin, depth)
        self.correlator = Correlator(cluster)
        policy = policy or (Policy(tuple(rules)) if rules is not None else default_policy())
        self.policy = PolicyEngine(
            policy.rules, mode, as_live, guards=policy.guards, view=view, can_restart=can_restart, lacking=lacking
        )
        self.policy.adopt(policy)
        self.jobs = JobBook(origin)
        self._events: list[Event] = []
        self._words: deque[tuple[Word, int]] = deque()
        self._findings: dict[str, Finding] = {}
        self._incidents: dict[str, Incident] = {}
        self._urgent = False
        self._ticked_ns = 0
        self._passed_ns = 0
        """The last half second gone by, looked at or not."""

    def receive(self, batch: Batch, received_ns: int) -> None:
        """Take in one batch. `received_ns` is the agent's clock, Unix ns, and never runs backwards."""
        if not self._ticked_ns:
            self._ticked_ns = self._passed_ns = received_ns // GRID_NS * GRID_NS - GRID_NS
        # no tick that lies before its receipt may look at it, also where time was not handed over first
        self._passed_ns = max(self._passed_ns, (received_ns - 1) // GRID_NS * GRID_NS)
        self.engine.receive(batch, received_ns)
        self._events.extend(event for event in batch.events if event.kind is not EventKind.TRAINING_STEP)
        self.jobs.hear(batch.events)
        self._urgent = self._urgent or bool(batch.events) or bool(batch.suspicion)

    def hear(self, word: Word, sequence: int) -> None:
        """Take in a person's word that the store has; the next tick holds to it. From any thread."""
        self._words.append((word, sequence))
        self._urgent = True

    def advance(self, now_ns: int) -> Changes:
        """Run all ticks that are due before `now_ns`; what is received at `now_ns` itself belongs to the next."""
        changes = Changes()
        while self._ticked_ns:
            due_ns = self._passed_ns + GRID_NS
            if not self._urgent:
                due_ns = max(due_ns, self._ticked_ns + TICK_S * NS)
            if due_ns >= now_ns:
                self._passed_ns = max(self._passed_ns, (now_ns - 1) // GRID_NS * GRID_NS)
                break
            changes.add(self.tick(due_ns))
        return changes

    def tick(self, now_ns: int) -> Changes:
        """Look at everything received up to now."""
        self._ticked_ns, self._passed_ns, self._urgent = now_ns, now_ns, False
        if self._told is not None:
            self._told(self.engine.inventory, now_ns)
        changes = Changes(events=[placed(event, self.engine.inventory) for event in self._events])
        self._events = []
        changes.findings = self.engine.tick(now_ns)
        changes.events += self.engine.enrolment.reports(self.engine.inventory, now_ns)
        for finding in changes.findings:
            self._findings[finding.id] = finding
        said = self._listen(now_ns)
        told = self.correlator.update(changes.findings, now_ns)
        changes.incidents = [self._with_gpus(i) for i in {i.id: i for i in (*said, *told)}.values()]
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
        *,
        apart: Iterable[tuple[str, str]] = (),
    ) -> None:
        """Take over what was open before a restart; nothing resolves by itself meanwhile.

        `incidents` may hold lately resolved ones, which may come back; `apart`: pairs that people have split.
        """
        findings = list(findings)
        self._findings.update((f.id, f) for f in findings)
        self.engine.restore(f for f in findings if f.cleared_ns is None)
        incidents = list(incidents)
        self._incidents.update((i.id, i) for i in incidents)
        self.correlator.restore(incidents, findings, apart)
        self.policy.restore(decisions)
        self.policy.again(incident.id for incident in incidents)
        self.jobs.restore(jobs, findings, self.engine.inventory)

    def _listen(self, now_ns: int) -> list[Incident]:
        """What people's words make of the incidents."""
        changed: list[Incident] = []
        while self._words:
            word, sequence = self._words.popleft()
            if word.kind is WordKind.ACKNOWLEDGE and not sequence:
                held = self._incidents.get(word.incident)
                if held is not None and held.state in (IncidentState.OPEN, IncidentState.SNOOZED):
                    changed.append(self.correlator.mark(held.id, IncidentState.ACKNOWLEDGED, now_ns))
                continue
            try:
                changed += self.correlator.say(word, sequence, now_ns)
            except GiveUp as error:
                # the findings have moved since the person looked: the word counts as heard, so that saving goes on
                _log.warning("a %s of %s came too late: %s", word.kind.value, word.incident, error)
                heard = msgspec.structs.replace(word, kind=WordKind.MERGE, other="")
                changed += self.correlator.say(heard, sequence, now_ns)
        return changed

    def _with_gpus(self, incident: Incident) -> Incident:
        held = self._incidents.get(incident.id)
        findings = [self._findings[f] for f in incident.findings if f in self._findings]
        before = held.gpus if held is not None else incident.gpus
        gpus = gpus_of_jobs(findings, self.engine.jobs, self.engine.inventory, before)
        return msgspec.structs.replace(incident, gpus=gpus) if gpus != incident.gpus else incident

    def _decide(self, changes: Changes, now_ns: int) -> None:
        for incident in changes.incidents:
            self._incidents[incident.id] = incident
        again = (self._incidents[i] for i in self.policy.due(now_ns) if i in self._incidents)
        for incident in {i.id: i for i in (*changes.incidents, *again)}.values():
            findings = [self._findings[f] for f in incident.findings if f in self._findings]
            decision = self.policy.decide(incident, findings, self.engine.inventory, now_ns)
            if decision is not None:
                changes.decisions.append(decision)
        changes.decisions += self.policy.undo_due(now_ns)

    def _forget(self, now_ns: int) -> None:
        over = [i for i in self._incidents.values() if i.resolved_ns and now_ns - i.resolved_ns > REMEMBER_NS]
        for incident in over:
            del self._incidents[incident.id]
            for finding in incident.findings:
                self._findings.pop(finding, None)
        if any(incident.left_out for incident in over):
            # what a capped list left out is named by nobody
            named = {finding for incident in self._incidents.values() for finding in incident.findings}
            for held in [f for f in self._findings.values() if f.cleared_ns and f.id not in named]:
                if now_ns - (held.cleared_ns or 0) > REMEMBER_NS:
                    del self._findings[held.id]
