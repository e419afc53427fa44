"""`job_crash`: the job's own output says that it died; and which rank died first, where its launcher says so."""

import signal
from collections.abc import Iterable
from dataclasses import dataclass, field

from collectors.model import Event, EventKind, Subject, SubjectKind
from detectors.contract import Clearing, Needs, Opening, Opinion
from detectors.frame import NS
from detectors.job.launcher import CARD
from detectors.job.rhythm import Rhythms
from detectors.model import Evidence, Finding, FindingKind, Inventory, Severity
from detectors.view import where

CONFIRM_S = 10.0
"""A traceback may have been caught and logged: the job is dead if no step follows within this, or three usual gaps."""
_FATAL = frozenset({EventKind.CUDA_ERROR, EventKind.PROCESS_EXIT})
"""A CUDA error is sticky: no later call of that process succeeds. An exit is the launcher's own word."""
DIED_OF = frozenset({signal.SIGKILL, signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE})
"""Signals that end one process from without or for its own fault: that rank died, the others only with it. Not those
that launchers and people send to all (SIGTERM, SIGINT, SIGHUP), nor SIGABRT, by which NCCL's watchdog ends a rank that
has waited for another."""


@dataclass(slots=True)
class JobCrash:
    """A CUDA error or a launcher's exit line at once; a traceback once no step has followed it.

    The log line names the exception, not the cause: correlation puts what came before it first. What was raised before
    an exit stands with it, so that two crashes of different code are told apart. Clears when the job
    steps again (its controller restarted it). Fails for a job that dies without a word (SIGKILL of all ranks).

    Where a launcher says that one rank was killed by a signal (`DIED_OF`), `rank_crash` is opened about its card too:
    a launcher that ends the others at once leaves no time to see them wait for it.
    """

    rhythms: Rhythms
    kinds = (FindingKind.JOB_CRASH, FindingKind.RANK_CRASH)
    needs = Needs(events=(EventKind.CUDA_ERROR, EventKind.PROCESS_EXIT, EventKind.TRACEBACK))
    _open: set[Subject] = field(default_factory=set)
    _died: dict[Subject, dict[Subject, None]] = field(default_factory=dict)
    """Cards of dead ranks, by job."""
    _suspected: dict[Subject, tuple[Event, str]] = field(default_factory=dict)

    def on_event(self, event: Event, inventory: Inventory, now_ns: int) -> Iterable[Opinion]:
        """One event."""
        job = event.subject
        if event.kind is EventKind.TRAINING_STEP:
            self._suspected.pop(job, None)
            if job in self._open:
                self._open.discard(job)
                yield Clearing(FindingKind.JOB_CRASH, job, "the job steps again")
            for card in self._died.pop(job, ()):
                yield Clearing(FindingKind.RANK_CRASH, card, "the job steps again")
        elif event.kind in _FATAL:
            if event.kind is EventKind.PROCESS_EXIT and event.values.get("exit_code") == 0:
                return
            if CARD in event.attributes and event.values.get("signal") in DIED_OF:
                yield self._rank_opening(event, inventory)
            yield self._opening(event, inventory.name_of(job))
        elif event.kind is EventKind.TRACEBACK and job not in self._open:
            self._suspected.setdefault(job, (event, inventory.name_of(job)))

    def on_time(self, now_ns: int) -> Iterable[Opinion]:
        """Tracebacks that no step has followed."""
        for job, (event, name) in list(self._suspected.items()):
            usual = self.rhythms.of(job).usual_gap_s or 0.0
            if now_ns - event.time_ns > max(CONFIRM_S, 3 * usual) * NS:
                del self._suspected[job]
                yield self._opening(event, name)

    def adopt(self, finding: Finding) -> None:
        """Open since before a restart."""
        if finding.kind is FindingKind.JOB_CRASH:
            self._open.add(finding.subject)
            return
        for job in [subject for subject in finding.related if subject.kind is SubjectKind.JOB][:1]:
            self._died.setdefault(job, {})[finding.subject] = None

    def ready(self, subject: Subject) -> bool:
        """It needs no history."""
        return True

    def _rank_opening(self, event: Event, inventory: Inventory) -> Opening:
        """One rank was killed, by its launcher's word."""
        job, told = event.subject, event.attributes
        card = Subject(job.cluster, SubjectKind.GPU, told[CARD])
        self._died.setdefault(job, {})[card] = None
        place, detail = where(inventory, card), told.get("detail", "killed")
        text = f"the launcher says that the process of {place} was {detail}"
        evidence = Evidence(text, event.time_ns, event.kind.value, source=event.source.value, line=event.line)
        summary = f"Rank died in job {inventory.name_of(job)}: the process of {place} was {detail}."
        return Opening(
            FindingKind.RANK_CRASH, card, event.time_ns, Severity.CRITICAL, 0.95, summary, (evidence,), (job,)
        )

    def _opening(self, event: Event, name: str) -> Opening:
        self._open.add(event.subject)
        raised, _ = self._suspected.pop(event.subject, (event, name))
        self.rhythms.of(event.subject).crashed_ns = event.time_ns
        rank = event.attributes.get("rank")
        whose = f" on rank {rank}" if rank else ""
        detail = event.attributes.get("detail") or event.line or event.kind.value.replace("_", " ")
        text = f"the job's output{whose} says: {detail[:200]}"
        evidence = Evidence(text, event.time_ns, event.kind.value, source=event.source.value, line=event.line)
        said: tuple[Evidence, ...] = (evidence,)
        if event.kind is EventKind.PROCESS_EXIT and raised.kind is EventKind.TRACEBACK:
            # an exit code is every bug's: what was raised before it tells which one
            why = (raised.attributes.get("detail") or raised.line)[:160]
            text = f"the job's output says: {why}"
            first = Evidence(text, raised.time_ns, raised.kind.value, source=raised.source.value, line=raised.line)
            said = (first, evidence)
            detail = f"{why} ({detail[:60]})"
        summary = f"Job {name} crashed{whose}: {detail[:230]}"
        return Opening(FindingKind.JOB_CRASH, event.subject, event.time_ns, Severity.CRITICAL, 0.95, summary, said)
