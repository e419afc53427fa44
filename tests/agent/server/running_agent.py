"""A real agent on a real port, in a thread of the test, with a small watch in place of the real one."""

import http.client
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from starlette.routing import Route

from agent.server.serve import run
from agent.settings import Settings
from agent.watch import Changes
from collectors.model import Batch, Event, EventKind, EventSource, Origin, Subject, SubjectKind
from collectors.wire import encode

TICK_NS = 5_000_000_000
NODE = Subject("prod", SubjectKind.NODE, "node-a")


@dataclass
class SmallWatch:
    """Says every event it was given at the next tick of a 5 s grid, and remembers what it was asked."""

    received: list[tuple[Batch, int]] = field(default_factory=list)
    ticks: list[tuple[int, int]] = field(default_factory=list)
    """(time, batches received before it)."""
    _events: list[Event] = field(default_factory=list)
    _next_ns: int = 0

    def receive(self, batch: Batch, received_ns: int) -> None:
        self.received.append((batch, received_ns))
        self._events += batch.events

    def tick(self, now_ns: int) -> Changes:
        self.ticks.append((now_ns, len(self.received)))
        changes = Changes(events=self._events)
        self._events = []
        return changes

    def advance(self, now_ns: int) -> Changes:
        if self._next_ns == 0:
            self._next_ns = now_ns // TICK_NS * TICK_NS + TICK_NS
        changes = Changes()
        while self._next_ns < now_ns:
            changes.events += self.tick(self._next_ns).events
            self._next_ns += TICK_NS
        return changes


def make_batch(
    sequence: int = 1,
    *,
    node: Subject = NODE,
    origin: Origin = Origin.LIVE,
    sent_ns: int | None = None,
    subjects: tuple[Subject, ...] = (),
    events: tuple[Event, ...] = (),
    spool_id: str = "spool",
) -> Batch:
    """A batch of one node; sent now unless told otherwise."""
    sent_ns = time.time_ns() if sent_ns is None else sent_ns
    return Batch(1, origin, node, "boot", spool_id, sequence, sent_ns, subjects or (node,), events=events)


def numbered_event(number: int, time_ns: int, kind: EventKind = EventKind.TRAINING_STEP) -> Event:
    """An event that says which batch it came in."""
    job = Subject("prod", SubjectKind.JOB, "job")
    return Event(kind, job, time_ns, EventSource.TRAINING_LOG, {"step": float(number)})


@dataclass
class RunningAgent:
    """An agent that serves, and how to talk to it."""

    data: Path
    settings: Settings
    watches: dict[tuple[Origin, str], SmallWatch] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    port: int = 0
    routes: list[Route] | None = field(default_factory=list)
    """None: those that are found; by default none but the agent's own."""
    _stop: Callable[[], None] = lambda: None
    _thread: threading.Thread | None = None

    @property
    def token(self) -> str:
        return (self.data / "token").read_text().strip()

    def start(self) -> "RunningAgent":
        port_file = self.data.parent / f"{self.data.name}.port"
        port_file.unlink(missing_ok=True)
        errors: list[BaseException] = []

        def make_watch(origin: Origin, cluster: str) -> SmallWatch:
            return self.watches.setdefault((origin, cluster), SmallWatch())

        def take_stop(stop: Callable[[], None]) -> None:
            self._stop = stop

        def serve() -> None:
            try:
                run(
                    self.settings,
                    self.data,
                    make_watch=make_watch,
                    port_file=port_file,
                    announce=self.said.append,
                    on_stop=take_stop,
                    routes=self.routes,
                )
            except BaseException as error:  # noqa: BLE001 - raised again in the test's own thread
                errors.append(error)

        self._thread = threading.Thread(target=serve)
        self._thread.start()
        while not port_file.exists():
            if errors:
                self._thread.join()
                raise errors[0]
            self._thread.join(0.01)
        self.port = int(port_file.read_text())
        return self

    def stop(self) -> None:
        if self._thread is not None:
            self._stop()
            self._thread.join()
            self._thread = None

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        token: str | None = "",
        headers: dict[str, str] | None = None,
    ) -> tuple[int, dict[str, str], bytes]:
        """One request on a connection of its own; `token=None` sends none, empty means the admin's."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        given = dict(headers or {})
        if token is not None:
            given.setdefault("authorization", f"Bearer {token or self.token}")
        try:
            connection.request(method, path, body=body, headers=given)
            answer = connection.getresponse()
            return answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def send(self, batch: Batch | bytes, **more: object) -> tuple[int, dict]:
        """POST a batch; status and the decoded answer."""
        body = encode(batch) if isinstance(batch, Batch) else batch
        headers = {"content-encoding": "zstd", **more.pop("headers", {})}
        status, _, answer = self.request("POST", "/v1/batch", body, headers=headers, **more)
        return status, msgspec.json.decode(answer)

    def metric(self, line: str) -> float:
        """The value of one sample in /metrics; 0.0 where it is absent."""
        text = self.request("GET", "/metrics")[2].decode()
        return next((float(row.rpartition(" ")[2]) for row in text.splitlines() if row.startswith(line + " ")), 0.0)


def wait_for(holds: Callable[[], bool], what: str) -> None:
    """Until it holds; the suite's own time limit ends a wait that does not end."""
    deadline = time.monotonic() + 60
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited 60 s for {what}")
        time.sleep(0.01)


@dataclass
class HeldWatch(SmallWatch):
    """Stops at the first batch until it is told to go on."""

    go_on: threading.Event = field(default_factory=threading.Event)

    def receive(self, batch: Batch, received_ns: int) -> None:
        self.go_on.wait(60)
        super().receive(batch, received_ns)
