"""The API and the pages on a real HTTP server over a real SQLite store, as the tests of cli, api and web need them."""

import http.client
import socket
import threading
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import msgspec
import uvicorn
from api_story import NOW, tell
from migrated_stores import migrated

from agent.access.access import Access
from agent.access.attempts import FailedAttempts
from agent.access.authorise import Identity, Role
from agent.access.hosts import HostList
from agent.access.kubernetes import KubernetesIdentities
from agent.access.sessions import COOKIE, Session, Sessions
from agent.access.tokens import TokenTable
from agent.actions.actions import Actions
from agent.server.app import build_app
from agent.server.spaces import Spaces
from agent.settings import ActionsSettings, Settings
from agent.store.store import Store, open_store
from agent.watch import Watch
from collectors.model import WIRE_VERSION, Batch, Origin, Subject, SubjectFacts, SubjectKind, Table
from detectors.inventory import Source

ADMIN_TOKEN = "a" * 40
READER_TOKEN = "b" * 40
INGEST_TOKEN = "c" * 40


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass(frozen=True)
class ServedAgent:
    address: str
    store: Store
    session: Session

    def get(self, path: str, token: str | None = READER_TOKEN, **headers: str) -> Answer:
        return self.ask("GET", path, token, **headers)

    def post(self, path: str, token: str | None = ADMIN_TOKEN, **headers: str) -> Answer:
        return self.ask("POST", path, token, **headers)

    def ask(self, method: str, path: str, token: str | None, body: bytes = b"", **headers: str) -> Answer:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            sent["authorization"] = f"Bearer {token}"
        connection = http.client.HTTPConnection(self.address.removeprefix("http://"), timeout=20)
        try:
            connection.request(method, path, body=body or None, headers=sent)
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    @property
    def cookie(self) -> str:
        return f"{COOKIE}={self.session.id}"


HOSTILE_RACK = "r8<script>\x1b[2J"


def running_watch() -> Spaces:
    """A live watch over one card that it has heard of once; a file and the cluster disagree about its node's rack."""
    node, gpu = Subject("watched", SubjectKind.NODE, "node-w"), Subject("watched", SubjectKind.GPU, "GPU-w")
    facts = (SubjectFacts(node, "node-w"), SubjectFacts(gpu, "GPU-w", node, {"index": "0"}))
    power = array("f", [690.0]).tobytes()
    table = Table(times_ns=(NOW - 10**9,), metrics=("gpu_power_watts",), subjects=(1,), data=power)
    batch = Batch(WIRE_VERSION, Origin.LIVE, node, "boot", "spool", 1, NOW, (node, gpu), facts=facts, tables=(table,))
    spaces = Spaces(Watch)
    space = spaces.space_for(batch)
    space.receive(batch, NOW)
    space.advance(NOW + 10**10)
    inventory = space.watch.engine.inventory  # type: ignore[attr-defined]  # a whole watch
    inventory.tell(Source.KUBERNETES, [SubjectFacts(node, "node-w", None, {"rack": "r7"})], NOW)
    inventory.tell_by_name(Source.CSV, {(SubjectKind.NODE, "node-w"): {"rack": HOSTILE_RACK}}, NOW)
    return spaces


@contextmanager
def served(
    folder: Path,
    *,
    story: bool = True,
    telling: Callable[[Store], None] = tell,
    watches: Callable[[], Spaces] = running_watch,
    more: Sequence[tuple[str, Identity]] = (),
    kubernetes: KubernetesIdentities | None = None,
) -> Iterator[ServedAgent]:
    """An agent's API and pages, at the time NOW of the story. `more`: tokens and their identities. `kubernetes`: who is
    asked about all others."""
    store = open_store(migrated(folder / "store.sqlite"))
    if story:
        telling(store)
    admin = Identity("admin", (Role.ADMIN,))
    tokens = [
        (ADMIN_TOKEN, admin),
        (READER_TOKEN, Identity("night-shift", (Role.READ,))),
        (INGEST_TOKEN, Identity("collector", (Role.INGEST,))),
        *more,
    ]
    sessions = Sessions(lambda: NOW)
    session = sessions.redeem(sessions.make_code(admin))
    assert session is not None
    access = Access(
        TokenTable(tokens), sessions, FailedAttempts(lambda: NOW, 10_000), HostList(), kubernetes=kubernetes
    )
    # What these routes do not look at, the settings, is left out; the watch that runs is of another cluster.
    spaces = watches()
    settings = Settings(actions=ActionsSettings(approve_without_kubernetes=True))
    actions = Actions(settings, store, spaces, lambda: NOW, kubernetes=kubernetes)
    app = build_app(cast("Any", None), store, spaces, access, lambda: NOW, actions=actions)
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", loop="asyncio", lifespan="off"))
    # Connections wait in the socket's queue until the server is up: nobody has to wait for luck.
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield ServedAgent(f"http://127.0.0.1:{listening.getsockname()[1]}", store, session)
    finally:
        server.should_exit = True
        thread.join()
        listening.close()
        store.close()
