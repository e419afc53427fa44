"""A fleet whose pods the test moves, and the real watch that hears it; time is the test's."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from agent.inject.control import Request
from agent.watch import Watch
from collectors.model import LIVE_ONLY, Batch, Origin
from collectors.wire import decode, encode
from detectors.model import Finding, Incident
from policies.cluster_view import NodeView, Owner, PodView
from policies.model import Decision
from testcluster.fleet.faults import lay
from testcluster.fleet.machines import machines
from testcluster.fleet.player import Player

SECOND = 1_000_000_000
START_NS = 1_795_392_000 * SECOND
OWNER = Owner("batch/v1", "Job", "llama", "uid-llama")


def nodes(count: int) -> list[NodeView]:
    return [NodeView(f"gpu-node-{i:02d}", f"uid-node-{i:02d}", gpus=8, rack=f"rack-{i // 4}") for i in range(count)]


def pod(index: int, node: str, attempt: int = 0, phase: str = "Running") -> PodView:
    name = f"llama-{index}-{'bcdfg'[attempt] * 5}"
    labels = {"batch.kubernetes.io/job-completion-index": str(index)}
    return PodView(
        "training", name, f"uid-pod-{index}-{attempt}", node, owner=OWNER, labels=labels, phase=phase, gpus=8
    )


@dataclass
class PlayedFleet:
    """Plays, and listens."""

    player: Player
    watch: Watch
    said: list[str] = field(default_factory=list)
    exits: list[list[str]] = field(default_factory=list)
    batches: list[Batch] = field(default_factory=list)
    findings: dict[str, Finding] = field(default_factory=dict)
    incidents: dict[str, Incident] = field(default_factory=dict)
    decisions: list[Decision] = field(default_factory=list)
    ready: dict[str, bool] = field(default_factory=dict)

    @classmethod
    def of(cls, count: int = 6) -> "PlayedFleet":
        played: PlayedFleet
        said: list[str] = []

        def exits(pods: Sequence[PodView], code: int) -> None:
            played.exits.append([pod.name for pod in pods])
            for one in pods:
                played.player.pod_gone(one.uid)

        fleet, left_out = machines("test", nodes(count))
        assert left_out == []
        player = Player(fleet, START_NS, exits=exits, tell=said.append)
        played = cls(player, Watch(Origin.TEST, "test", as_live=LIVE_ONLY | {Origin.TEST}), said)
        return played

    def run_job(self, *names: str, attempt: int = 0) -> None:
        self.player.see_pods([pod(index, name, attempt) for index, name in enumerate(names)])

    def run(self, seconds: float) -> "PlayedFleet":
        until_ns = self.player.now_ns + int(seconds * SECOND)
        while self.player.next_ns <= until_ns:
            for _, batch in self.player.step():
                self.batches.append(batch)
                self._take(self.watch.advance(self.player.now_ns))
                self.watch.receive(decode(encode(batch)), self.player.now_ns)
        self._take(self.watch.advance(self.player.now_ns))
        return self

    def lay(self, fault: str, node: str, gpu: int = 0, lasts: float = 0.0) -> str:
        return lay(self.player, Request(fault, node, gpu, lasts), self.ready.__setitem__)

    def open_kinds(self) -> list[str]:
        return sorted({finding.kind.value for finding in self.findings.values() if finding.cleared_ns is None})

    def _take(self, changes) -> None:
        self.findings.update((finding.id, finding) for finding in changes.findings)
        self.incidents.update((incident.id, incident) for incident in changes.incidents)
        self.decisions += changes.decisions
