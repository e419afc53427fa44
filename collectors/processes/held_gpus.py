"""A GPU source that also says for whom each GPU works."""

from collections.abc import Callable
from typing import Protocol

from collectors.gpu.nvml_words import GpuProcess
from collectors.gpu.source import GpuLook, GpuSource
from collectors.model import Event, Subject, SubjectFacts, SubjectKind
from collectors.processes.followed import FollowedLogs
from collectors.processes.holders import GpuHolders

ASKED_WITH = "gpu_processes"
"""The metric whose look brings the processes, too."""


class ProcessSource(GpuSource, Protocol):
    """A GPU source that knows the processes on each GPU."""

    def processes(self) -> dict[Subject, tuple[GpuProcess, ...] | None]:
        """By the newest look that asked for `gpu_processes`; None for a GPU where that is not known."""
        ...


class HeldGpus:
    """A `GpuSource` over another: its looks and events, and its facts with holder, job and rank of each GPU.

    Jobs whose size is known get facts of their own (`world_size`).
    """

    def __init__(self, source: ProcessSource, holders: GpuHolders, followed: Callable[[], FollowedLogs]) -> None:
        """`followed` is asked at each look for processes, and gives the logs followed at that moment."""
        self._source = source
        self._holders = holders
        self._followed = followed
        self._of: tuple[SubjectFacts, ...] | None = None
        self._facts: tuple[SubjectFacts, ...] = ()

    def look(self, metrics: tuple[str, ...], now_ns: int) -> GpuLook:
        """The source's look; where it asked for processes, it is seen anew who holds what."""
        look = self._source.look(metrics, now_ns)
        if ASKED_WITH in metrics:
            self._holders.update(self._source.processes(), self._followed(), now_ns)
            self._of = None
        return look

    def events(self) -> list[Event]:
        """The source's own."""
        return self._source.events()

    def facts(self) -> tuple[SubjectFacts, ...]:
        """The source's own, added to; the same tuple until something changes."""
        told = self._source.facts()
        if told is not self._of:
            self._of = told
            facts = (*(self._with_holder(one) for one in told), *self._jobs(told))
            self._facts = self._facts if facts == self._facts else facts
        return self._facts

    def _with_holder(self, facts: SubjectFacts) -> SubjectFacts:
        held = self._holders.attributes(facts.subject) if facts.subject.kind is SubjectKind.GPU else {}
        if not held:
            return facts
        return SubjectFacts(facts.subject, facts.name, facts.node, {**facts.attributes, **held})

    def _jobs(self, told: tuple[SubjectFacts, ...]) -> list[SubjectFacts]:
        cluster = told[0].subject.cluster if told else ""
        sizes = self._holders.world_sizes()
        return [
            SubjectFacts(Subject(cluster, SubjectKind.JOB, job), job, None, {"world_size": str(size)})
            for job, size in sizes.items()
        ]
