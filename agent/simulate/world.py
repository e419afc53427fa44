"""The simulated world's clock, logs and collectors: what everything in it is told through."""

import heapq
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

import numpy as np

from agent.simulate import log_lines
from agent.simulate import parameters as p
from agent.simulate.cards import NS, Cards
from agent.simulate.collectors import FleetCollectors
from agent.simulate.fleet import Card, Fleet, Node
from collectors.kernel_log import KernelLogParser
from collectors.model import Batch, Event, EventKind, EventSource, Origin, Subject, SubjectFacts
from collectors.sampling.plan import SamplingPlan
from collectors.training_log import TrainingLogParser

QUARTER_NS = NS // 4
GROUPS = 4
"""Collectors look at whole seconds of their own start: a quarter of the nodes in each quarter of a second."""
UPTIME_SECONDS = 86_400
"""All nodes booted a day before the simulation's start."""


class World:
    """One cluster. Everything happens through `at`; `now_ns` is Unix ns."""

    def __init__(
        self,
        fleet: Fleet,
        start_ns: int,
        end_ns: int,
        rng: np.random.Generator,
        folder: Path | None,
        origin: Origin = Origin.REPLAY,
    ) -> None:
        """`folder`: where logs are written; None keeps none. `origin`: of all batches."""
        self.fleet, self.start_ns, self.end_ns, self.now_ns = fleet, start_ns, end_ns, start_ns
        self.rng = rng
        self.cards = Cards(len(fleet.nodes), fleet.gpus_per_node, start_ns, np.random.default_rng(rng.integers(2**63)))
        self.boot_ns = start_ns - UPTIME_SECONDS * NS
        self.jobs: dict[str, SubjectFacts] = {}
        """What is known about each job, by id."""
        self._folder = folder
        self._files: dict[Path, TextIO] = {}
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0
        self._training: dict[tuple[str, int], TrainingLogParser] = {}
        self._kernel: dict[int, KernelLogParser] = {}
        self._events: list[tuple[int, Event]] = []
        self._after: dict[int, list[Event]] = {}
        self._stopping: list[int] = []
        self._starting: list[int] = []
        plan = SamplingPlan()
        self.collectors = [
            FleetCollectors(fleet.nodes[q::GROUPS], plan, self.facts_of(q), origin) if fleet.nodes[q::GROUPS] else None
            for q in range(GROUPS)
        ]

    def at(self, time_ns: int, what: Callable[[], None]) -> None:
        """Do something later, or now."""
        heapq.heappush(self._due, (max(time_ns, self.now_ns), self._count, what))
        self._count += 1

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        """Do something this much later."""
        self.at(self.now_ns + int(seconds * NS), what)

    def run_to(self, time_ns: int) -> None:
        """Let happen what is due up to and at a time."""
        while self._due and self._due[0][0] <= time_ns:
            self.now_ns, _, what = heapq.heappop(self._due)
            what()
        self.now_ns = time_ns

    def uniform(self, bounds: tuple[float, float]) -> float:
        """A number between two bounds."""
        return float(self.rng.uniform(*bounds))

    def log_uniform(self, bounds: tuple[float, float]) -> float:
        """The same, evenly in its logarithm."""
        return float(np.exp(self.rng.uniform(np.log(bounds[0]), np.log(bounds[1]))))

    def pid(self) -> int:
        """A process id."""
        return int(self.rng.integers(1_000, 4_000_000))

    def card(self, node: int, gpu: int) -> Card:
        """One card by its place."""
        return self.fleet.nodes[node].cards[gpu]

    # --- what is told ---

    def say(self, job: Subject, name: str, node: int, text: str, time_ns: int | None = None) -> None:
        """A line of a job's pod on a node: into the job's log, and through that node's parser."""
        time_ns = self.now_ns if time_ns is None else time_ns
        line = f"{log_lines.stamp(time_ns)} {text}"
        self._write("logs", f"{name}.log", line)
        parser = self._training.get((job.id, node))
        if parser is None:
            parser = self._training[job.id, node] = TrainingLogParser(job)
        for event in parser.parse(line.encode(), time_ns):
            self._events.append((node, event))

    def kernel(self, node: int, text: str, priority: int = 4) -> None:
        """A line of a node's kernel log."""
        seconds = (self.now_ns - self.boot_ns) / NS
        line = f"<{priority}>[{seconds:12.6f}] {text}"
        self._write("kmsg", f"{self.fleet.nodes[node].name}.txt", line)
        parser = self._kernel.get(node)
        if parser is None:
            by_bus = {card.pci_bus_id.split(".")[0]: card.subject for card in self.fleet.nodes[node].cards}
            subject = self.fleet.nodes[node].subject
            parser = KernelLogParser(subject, lambda bus: by_bus.get(bus.split(".")[0]), self.boot_ns)
            self._kernel[node] = parser
        event = parser.parse(line.encode(), self.now_ns)
        if event is not None:
            self._events.append((node, event))

    def driver_says(self, node: int, kind: EventKind, gpu: int | None, detail: str) -> None:
        """What NVML tells with the node's next look."""
        self._after.setdefault(node, []).append(
            Event(
                kind,
                self.fleet.nodes[node].subject if gpu is None else self.card(node, gpu).subject,
                self.now_ns,
                EventSource.NVML,
                {},
                {"detail": detail} | ({} if gpu is None else {"pci_bus_id": self.card(node, gpu).pci_bus_id}),
            )
        )

    def know(self, nodes: list[int]) -> None:
        """The facts about these nodes' cards or jobs have changed."""
        for node in nodes:
            group = self.collectors[node % GROUPS]
            if group is not None:
                group.changed(node // GROUPS)

    # --- collectors ---

    def start_collector(self, node: int) -> None:
        """At the node's next look."""
        self._starting.append(node)

    def stop_collector(self, node: int, *, word: bool) -> None:
        """With a goodbye or, when killed, without."""
        group = self.collectors[node % GROUPS]
        if group is None or not group.alive(node // GROUPS):
            return
        if word:
            self._stopping.append(node)
        else:
            group.end(node // GROUPS)

    def collects(self, node: int) -> bool:
        """Whether the node's collector runs."""
        group = self.collectors[node % GROUPS]
        return group is not None and group.alive(node // GROUPS)

    def rebooted(self, node: int, boot_id: str) -> None:
        """The node's next collector runs under a new boot id."""
        group = self.collectors[node % GROUPS]
        if group is not None:
            group.rebooted(node // GROUPS, boot_id)

    def step(self, number: int) -> list[tuple[int, Batch]]:
        """What happens in one quarter of a second, and the batches that leave at its end, by node."""
        now_ns = self.start_ns + number * QUARTER_NS
        self.run_to(now_ns)
        quarter = number % GROUPS
        begun = [node for node in self._starting if node % GROUPS == quarter]
        for node in begun:
            self._starting.remove(node)
            group = self.collectors[quarter]
            if group is not None:
                group.begin(node // GROUPS, now_ns)
        events, self._events = self._events, []
        for node, event in events:
            group = self.collectors[node % GROUPS]
            if group is not None:
                group.gather(node // GROUPS, event, now_ns)
        batches = [(node, batch) for node in self._stopping if (batch := self._farewell(node, now_ns)) is not None]
        self._stopping.clear()
        for q, group in enumerate(self.collectors):
            if group is None:
                continue
            look, after = None, {}
            if q == quarter:
                look = self.cards.look(slice(q, None, GROUPS), now_ns)
                mine = [node for node in self._after if node % GROUPS == q]
                after = {node // GROUPS: self._after.pop(node) for node in sorted(mine)}
            batches += [(i * GROUPS + q, batch) for i, batch in group.step(now_ns, look, after)]
        return batches

    def _farewell(self, node: int, now_ns: int) -> Batch | None:
        group = self.collectors[node % GROUPS]
        if group is None or not group.alive(node // GROUPS):
            return None
        return group.goodbye(node // GROUPS, now_ns)

    def close(self) -> None:
        """Close the logs."""
        for file in self._files.values():
            file.close()

    def facts_of(self, quarter: int) -> Callable[[int], tuple[SubjectFacts, ...]]:
        """What the nodes of one group know about themselves, by their place in the group."""

        def facts(i: int) -> tuple[SubjectFacts, ...]:
            return self._facts(self.fleet.nodes[i * GROUPS + quarter])

        return facts

    def _facts(self, node: Node) -> tuple[SubjectFacts, ...]:
        told = [SubjectFacts(node.subject, node.name, None, {"driver": p.DRIVER})]
        for card in node.cards:
            placed = {"job": card.job, "rank": str(card.rank), **card.holder} if card.job else {}
            attributes = card.facts.attributes | placed
            told.append(SubjectFacts(card.subject, card.facts.name, card.facts.node, attributes))
        ids = dict.fromkeys(card.job for card in node.cards if card.job)
        return (*told, *(self.jobs[job] for job in ids))

    def _write(self, folder: str, name: str, line: str) -> None:
        if self._folder is None:
            return
        path = self._folder / folder / name
        file = self._files.get(path)
        if file is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = self._files[path] = path.open("w", encoding="utf-8")
        file.write(line + "\n")
