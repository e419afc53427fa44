"""The GPUs of this node through NVML: the collector's side of the child process."""

import logging
import math
from collections.abc import Sequence
from typing import TypeVar

from collectors.errors import FixConfiguration
from collectors.gpu.nvml_process import CHILD_COMMAND, NvmlProcess
from collectors.gpu.nvml_words import Failed, GpuProcess, Hello, Look, Word, Xids
from collectors.gpu.source import GpuLook
from collectors.model import (
    CATALOGUE,
    COUNTER_ABSENT,
    Event,
    EventKind,
    EventSource,
    MetricType,
    Subject,
    SubjectFacts,
    SubjectKind,
)

ANSWER_SECONDS = 0.5
"""How long one look may hold up the collector. NVML answers 8 GPUs in 1 to 40 ms."""
HUNG_SECONDS = 10.0
"""A driver silent for so long is hung: ten looks in a row have failed, and a GPU reset takes less."""
START_SECONDS = 20.0
"""Loading NVML takes up to 15 s on a large node whose driver does not stay loaded."""
MOST_BACK_OFF_SECONDS = 60.0
RETRY_LOST_SECONDS = 300.0
"""While a GPU is lost, NVML is loaded anew this often: the old handle stays dead after a reset. Costs one look."""

_T = TypeVar("_T")
_LOG = logging.getLogger(__name__)
_COUNTERS = frozenset(name for name, metric in CATALOGUE.items() if metric.type is MetricType.COUNTER)


class NvmlGpus:
    """A `GpuSource` over NVML. A hung driver costs one look `ANSWER_SECONDS`, after that nothing."""

    def __init__(
        self,
        node: Subject,
        node_name: str,
        *,
        command: Sequence[str] = CHILD_COMMAND,
        answer_seconds: float = ANSWER_SECONDS,
        hung_seconds: float = HUNG_SECONDS,
    ) -> None:
        self._node, self._node_name = node, node_name
        self._command = command
        self._answer_seconds = answer_seconds
        self._hung_ns = int(hung_seconds * 1e9)
        self._child: NvmlProcess | None = None
        self._undead: list[NvmlProcess] = []
        self._ready = False
        self._number = 0
        self._waiting_since_ns: int | None = None
        self._retry_ns = self._lost_retry_ns = 0
        self._back_off_seconds = 1.0
        self._hung = False
        self._failure = ""
        self._driver = ""
        self._known: dict[Subject, SubjectFacts] = {}
        self._order: list[Subject | None] = []
        self._lost: dict[Subject, str] = {}
        self._given: set[str] = set()
        self._processes: dict[Subject, tuple[GpuProcess, ...] | None] = {}
        self._events: list[Event] = []
        self._facts: tuple[SubjectFacts, ...] = ()

    def start(self, now_ns: int, wait_seconds: float = START_SECONDS) -> None:
        """Load NVML and meet the GPUs, waiting for it.

        Raises FixConfiguration where NVML cannot be loaded. Where it does not answer in time, it returns all the same:
        looks are absent until it does.
        """
        self._spawn(now_ns)
        child = self._child
        while child is not None and child.alive and not self._ready and not self._failure:
            words = child.hear(wait_seconds)
            if not words:
                break
            self._take_in(words, now_ns)
        if self._failure or (child is not None and not child.alive):
            self.close()
            raise FixConfiguration(
                f"NVML cannot be used on node {self._node_name}: {self._failure or 'its process ended without a word'};"
                " mount the NVIDIA driver into the collector's container (runtimeClassName: nvidia), or collect without"
                " NVML"
            )

    def close(self) -> None:
        """End the child process."""
        for process in (self._child, *self._undead):
            if process is not None:
                process.close()
        self._child, self._ready, self._undead = None, False, []

    @property
    def child_pid(self) -> int | None:
        """Process id of the child, for measuring it."""
        return self._child.pid if self._child else None

    def facts(self) -> tuple[SubjectFacts, ...]:
        """The node's driver version and the GPUs, also those that are lost now."""
        return self._facts

    def events(self) -> list[Event]:
        """What was noticed since the last call; listens for Xids without waiting."""
        if self._child is not None and self._ready and self._waiting_since_ns is None:
            for word in self._child.hear(0):
                if isinstance(word, Xids):
                    self._take_in_xids(word)
                elif isinstance(word, Failed):
                    self._note_failure(word)
        events, self._events = self._events, []
        return events

    def look(self, metrics: tuple[str, ...], now_ns: int) -> GpuLook:
        """Ask the child; whatever does not come in time is absent."""
        self._keep_alive(now_ns)
        answer = self._ask(metrics, now_ns) if self._ready else None
        if "gpu_processes" in metrics:
            said = self._by_gpu(answer.processes) if answer else {}
            self._processes = {gpu: None if (p := said.get(gpu)) is None else tuple(p) for gpu in self._known}
        return self._lay_out(metrics, answer, now_ns)

    def processes(self) -> dict[Subject, tuple[GpuProcess, ...] | None]:
        """The compute processes on each known GPU, by the newest look that asked for `gpu_processes`.

        None for a GPU where that is not known: it is lost, NVML did not answer, or does not say.
        """
        return self._processes

    def _ask(self, metrics: tuple[str, ...], now_ns: int) -> Look | None:
        child = self._child
        if child is None:
            return None
        if self._waiting_since_ns is not None:
            # The last question is still open: see whether its answer came, and only then ask again.
            self._take_in(child.hear(0), now_ns)
            if self._waiting_since_ns is not None:
                return None
        self._number += 1
        self._waiting_since_ns = now_ns
        child.ask(self._number, metrics)
        # The first words may be Xids, told just before the answer.
        for _ in range(3):
            words = child.hear(self._answer_seconds)
            answer = self._take_in(words, now_ns)
            if answer is not None or not words:
                return answer
        return None

    def _take_in(self, words: list[Word], now_ns: int) -> Look | None:
        answer: Look | None = None
        for word in words:
            if isinstance(word, Look):
                if word.id == self._number:
                    self._waiting_since_ns = None
                    self._hung = False
                    answer = word
                    self._note_lost(word, now_ns)
            elif isinstance(word, Xids):
                self._take_in_xids(word)
            elif isinstance(word, Hello):
                self._meet(word, now_ns)
            else:
                self._note_failure(word)
        return answer

    def _keep_alive(self, now_ns: int) -> None:
        """Start, restart, declare hung: whatever the child's state asks for at this look."""
        self._undead = [process for process in self._undead if not process.gone()]
        child = self._child
        if child is not None and child.alive and not self._ready:
            self._take_in(child.hear(0), now_ns)
        if child is not None and not child.alive:
            self._drop(now_ns, f"the NVML process {child.pid} has ended")
        elif child is not None and self._waiting_since_ns is not None:
            allowed_ns = self._hung_ns if self._ready else max(self._hung_ns, int(START_SECONDS * 1e9))
            if now_ns - self._waiting_since_ns >= allowed_ns:
                self._declare_hung(now_ns)
        elif child is not None and self._ready and self._lost and now_ns >= self._lost_retry_ns:
            self._lost_retry_ns = now_ns + int(RETRY_LOST_SECONDS * 1e9)
            child.retire()
            self._undead.append(child)
            self._child, self._ready, self._retry_ns = None, False, now_ns
        # A process that sleeps in the driver cannot be ended; another one would only join it there.
        if self._child is None and now_ns >= self._retry_ns and not self._undead:
            self._spawn(now_ns)

    def _spawn(self, now_ns: int) -> None:
        self._failure = ""
        self._child, self._ready = NvmlProcess(self._command), False
        self._waiting_since_ns = now_ns

    def _drop(self, now_ns: int, why: str) -> None:
        if self._child is not None:
            self._child.kill()
            self._undead.append(self._child)
        _LOG.warning(
            "%s%s; next try in %.0f s", why, f" ({self._failure})" if self._failure else "", self._back_off_seconds
        )
        self._child, self._ready, self._waiting_since_ns = None, False, None
        self._retry_ns = now_ns + int(self._back_off_seconds * 1e9)
        self._back_off_seconds = min(2 * self._back_off_seconds, MOST_BACK_OFF_SECONDS)

    def _declare_hung(self, now_ns: int) -> None:
        since_ns = self._waiting_since_ns or now_ns
        seconds = (now_ns - since_ns) / 1e9
        if not self._hung:
            self._hung = True
            detail = f"NVML has not answered for {seconds:.0f} s"
            self._events.append(
                Event(EventKind.DRIVER_HUNG, self._node, since_ns, EventSource.NVML, {}, {"detail": detail})
            )
        self._drop(now_ns, f"NVML has not answered for {seconds:.0f} s")

    def _note_failure(self, word: Failed) -> None:
        self._failure = word.why

    def _meet(self, hello: Hello, now_ns: int) -> None:
        self._ready, self._waiting_since_ns = True, None
        self._hung = False
        self._back_off_seconds = 1.0
        self._driver = hello.driver
        self._order = []
        by_index = {facts.attributes.get("index"): gpu for gpu, facts in self._known.items()}
        for said in hello.gpus:
            attributes = {key: value for key, value in said.items() if key != "lost"}
            gpu: Subject | None
            if attributes.get("uuid"):
                gpu = Subject(self._node.cluster, SubjectKind.GPU, attributes["uuid"])
                name = f"{self._node_name}/gpu{attributes['index']}"
                self._known[gpu] = SubjectFacts(gpu, name, self._node, attributes)
                if self._lost.pop(self._nameless(attributes["index"]), None) is not None:
                    self._return(gpu, now_ns)
            else:
                gpu = by_index.get(attributes.get("index"))
            self._order.append(gpu)
            if "lost" in said:
                self._lose(gpu, said["lost"], now_ns, attributes.get("index", ""))
        for gpu in self._known:
            if gpu not in self._order:
                self._lose(gpu, "NVML no longer lists it", now_ns, "")
        node = SubjectFacts(self._node, self._node_name, None, {"driver": self._driver})
        self._facts = (node, *self._known.values())

    def _note_lost(self, look: Look, now_ns: int) -> None:
        for place, gpu in enumerate(self._order):
            why = look.lost.get(str(place))
            if why is not None:
                self._lose(gpu, why, now_ns, str(place))
            elif gpu is not None and gpu in self._lost:
                del self._lost[gpu]
                self._return(gpu, now_ns)

    def _return(self, gpu: Subject, now_ns: int) -> None:
        self._events.append(Event(EventKind.GPU_RETURNED, gpu, now_ns, EventSource.NVML, {}, self._where(gpu)))

    def _nameless(self, index: str) -> Subject:
        """Stands for a GPU that was lost before anybody learnt its UUID."""
        return Subject(self._node.cluster, SubjectKind.GPU, f"{self._node.id}-gpu{index}")

    def _lose(self, gpu: Subject | None, why: str, now_ns: int, index: str) -> None:
        """A GPU never met has no id of its own; then the event is about the node and names its index."""
        subject = gpu or self._node
        key = gpu or self._nameless(index)
        if key not in self._lost:
            self._lost[key] = why
            attributes = {"detail": why, **(self._where(gpu) if gpu else {"index": index})}
            self._events.append(Event(EventKind.GPU_LOST, subject, now_ns, EventSource.NVML, {}, attributes))
            self._lost_retry_ns = now_ns + int(RETRY_LOST_SECONDS * 1e9)

    def _where(self, gpu: Subject) -> dict[str, str]:
        facts = self._known.get(gpu)
        bus = facts.attributes.get("pci_bus_id") if facts else None
        return {"pci_bus_id": bus} if bus else {}

    def _take_in_xids(self, word: Xids) -> None:
        for xid in word.xids:
            gpu = Subject(self._node.cluster, SubjectKind.GPU, xid.uuid) if xid.uuid else self._node
            event = Event(
                EventKind.XID, gpu, xid.time_ns, EventSource.NVML, {"code": float(xid.code)}, self._where(gpu)
            )
            self._events.append(event)

    def _lay_out(self, metrics: tuple[str, ...], answer: Look | None, now_ns: int) -> GpuLook:
        """One column per known GPU, lost ones too; a metric that no GPU here gives has no key."""
        gpus = tuple(self._known)
        look = GpuLook(now_ns, gpus)
        if answer is not None:
            healthy = len(self._order) > len(answer.lost)
            for name in (*answer.gauges, *answer.counters):
                said = answer.gauges.get(name) or answer.counters.get(name) or []
                if any(value is not None for value in said):
                    self._given.add(name)
                elif healthy:
                    self._given.discard(name)
        for name in metrics:
            if name not in self._given or not gpus:
                continue
            if name in _COUNTERS:
                counts = self._by_gpu(answer.counters.get(name, []) if answer else [])
                look.counters[name] = [COUNTER_ABSENT if (n := counts.get(gpu)) is None else n for gpu in gpus]
            else:
                values = self._by_gpu(answer.gauges.get(name, []) if answer else [])
                look.gauges[name] = [math.nan if (v := values.get(gpu)) is None else v for gpu in gpus]
        return look

    def _by_gpu(self, values: list[_T]) -> dict[Subject | None, _T]:
        return dict(zip(self._order, values))
