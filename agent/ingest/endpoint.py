"""`POST /v1/batch`, as a raw ASGI application: the one hot path of the agent.

Answers are JSON. 200 `{"acknowledged": 17, "duplicate": false}` means: on disk, and on its way to the watch. Everything
else is `{"error": {"what", "where", "do"}}`:

| status | why | the collector |
| --- | --- | --- |
| 400 | torn, malformed, or of a version that we do not read | sets the batch aside |
| 401, 403 | no, wrong or too weak a credential; a batch about another node | keeps it, asks for a person |
| 408 | the body did not come within the time allowed | tries again |
| 413 | too large | sets it aside |
| 415 | not zstd | sets it aside |
| 421 | this agent stands by, and another leads | goes to the address in `location` |
| 422 | of a live node whose clock is more than an hour ahead; of more than one cluster | sets it aside |
| 429 | too many wrong credentials from there | waits |
| 503 | disk full, we are behind, or the API server that knows who this is is away | waits `Retry-After`, tries again |
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from agent.access.access import Access
from agent.access.authorise import Identity, Permission, Refused, Target, authorise
from agent.ingest.clocks import ClockOffsets
from agent.ingest.commit import Entry, GroupCommit
from agent.ingest.dedupe import Run, Seen, run_of
from agent.ingest.placement import Placement, spoken_of
from collectors.errors import GiveUp, RetryLater
from collectors.model import LIVE_ONLY, Batch, Origin

_log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_NANOSECONDS = 1_000_000_000
_BUSY_RETRY_SECONDS = 5
NOW_HEADER = b"watchstander-now-ns"
"""The sender's clock at the moment of sending, Unix ns."""
_READ_AND_THROWN_AWAY = 16
"""Bodies of up to so many times the limit are read before they are refused."""


@dataclass(frozen=True, slots=True)
class IngestLimits:
    """What one request may cost."""

    body_bytes: int = 4 * 2**20
    body_seconds: float = 30.0
    """From the first byte of the body to the last."""
    ahead_seconds: float = 3600.0
    """A live node's clock may be this far ahead; beyond it nothing it says can be put in order."""


@dataclass(slots=True)
class IngestCounts:
    """What came in since the start. Written on the event loop only."""

    batches: int = 0
    duplicates: int = 0
    body_bytes: int = 0
    events: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """By reason, one word each: docs/operations-metrics.md lists them."""
    unknown_metrics: Counter[str] = field(default_factory=Counter)


class _No(Exception):  # noqa: N818 - an answer, not a fault
    """Ends a request with an error answer."""

    def __init__(self, status: int, word: str, what: str, do: str, retry_after: int = 0, location: str = "") -> None:
        super().__init__(what)
        self.status, self.word, self.what, self.do, self.retry_after = status, word, what, do, retry_after
        self.location = location


class _Gone(Exception):  # noqa: N818
    """The other side hung up: there is nobody to answer."""


class IngestEndpoint:
    """Checks a batch, sees to it that it is on disk, and acknowledges it."""

    def __init__(
        self,
        access: Access,
        commit: GroupCommit,
        seen: Seen,
        decode: Callable[[bytes], Batch],
        clock: Callable[[], int],
        *,
        busy: Callable[[], str] = lambda: "",
        elsewhere: Callable[[], tuple[bool, str]] = lambda: (False, ""),
        full: Callable[[Origin, str], bool] = lambda _origin, _cluster: False,
        limits: IngestLimits = IngestLimits(),
        counts: IngestCounts | None = None,
        placement: Placement | None = None,
        clocks: ClockOffsets | None = None,
        as_live: frozenset[Origin] = LIVE_ONLY,
    ) -> None:
        """`decode` raises GiveUp; `clock` gives Unix ns; `busy` says why nothing can be taken now, or is empty; `full`
        tells whether there is no room for one more watch over that origin and cluster; `as_live`:
        origins whose clocks count. `elsewhere` tells whether batches belong to another agent, and at which address
        where that is known.
        """
        self._access = access
        self._commit = commit
        self._seen = seen
        self._decode = decode
        self._clock = clock
        self._busy = busy
        self._elsewhere = elsewhere
        self._full = full
        self._limits = limits
        self._as_live = as_live
        self.counts = counts if counts is not None else IngestCounts()
        self.placement = placement if placement is not None else Placement(as_live=as_live)
        self.clocks = clocks if clocks is not None else ClockOffsets()
        self._under_way: dict[tuple[Run, int], asyncio.Future[None]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        try:
            sequence, duplicate = await self._take(scope, receive)
        except _No as no:
            self.counts.refused[no.word] += 1
            await _answer_no(send, no)
        except _Gone:
            self.counts.refused["disconnected"] += 1
        else:
            body = b'{"acknowledged":%d,"duplicate":%s}' % (sequence, b"true" if duplicate else b"false")
            await _answer(send, 200, body, [])

    async def _take(self, scope: Scope, receive: Receive) -> tuple[int, bool]:
        if scope["method"] != "POST":
            raise _No(405, "method", f"{scope['method']} is not for this address", "POST a batch")
        now_ns = self._clock()
        headers = dict(scope["headers"])
        identity = await self._identify(scope, headers.get(b"authorization"))
        if headers.get(b"content-encoding", b"").lower() != b"zstd":
            raise _No(415, "encoding", "Content-Encoding is not zstd", "send one zstd frame that states its size")
        away, address = self._elsewhere()
        if away and address:
            raise _No(421, "standby", "this agent stands by, another leads", f"send it to {address}", location=address)
        if away:
            what = "this agent stands by, and where the leader is is not known"
            raise _No(503, "standby", what, "keep it and send it again; set actions.address", _BUSY_RETRY_SECONDS)
        why = self._busy()
        if why:
            raise _No(503, "busy", why, "keep the batch and send it again", _BUSY_RETRY_SECONDS)
        body = await self._body(headers.get(b"content-length"), receive)
        try:
            batch = self._decode(body)
        except GiveUp as error:
            raise _No(400, "malformed", str(error), "set it aside; collector and agent may differ in version") from None
        taken = await self._keep(identity, batch, body)
        if batch.origin in self._as_live:
            self._observe_clock(batch, headers.get(NOW_HEADER), now_ns)
        return taken

    def _observe_clock(self, batch: Batch, said: bytes | None, now_ns: int) -> None:
        """The sender's clock as the request left, where it says so: `sent_ns` is older by any stay in the spool."""
        there_ns = int(said) if said is not None and said.isdigit() and len(said) < 20 else batch.sent_ns
        self.clocks.observe(batch.node, there_ns, now_ns)

    async def _identify(self, scope: Scope, authorization: bytes | None) -> Identity:
        address = scope["client"][0] if scope.get("client") else "unknown"
        found = await self._access.by_token(authorization, address)
        said = found if isinstance(found, Refused) else authorise(found, Permission.INGEST)
        if isinstance(said, Refused):
            word = {401: "credential", 429: "attempts", 503: "identity"}.get(said.status, "role")
            raise _No(said.status, word, said.reason, said.do, said.retry_after_seconds)
        return said.identity

    async def _body(self, content_length: bytes | None, receive: Receive) -> bytes:
        most = self._limits.body_bytes
        stated = int(content_length) if content_length is not None and content_length.isdigit() else 0
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _Gone
                    part: bytes = message.get("body", b"")
                    size += len(part)
                    if max(size, stated) <= most:
                        parts.append(part)
                    elif max(size, stated) > most * _READ_AND_THROWN_AWAY:
                        raise self._too_large(max(size, stated))
                    else:
                        # Read to the end: a sender that finds its connection shut would never see why, and try again.
                        parts.clear()
                    if not message.get("more_body", False):
                        break
        except TimeoutError:
            raise _No(408, "slow", "the body did not come in time", "send it again") from None
        if size > most:
            raise self._too_large(size)
        return b"".join(parts)

    def _too_large(self, size: int) -> _No:
        most = self._limits.body_bytes
        return _No(
            413, "oversized", f"the body has {size} bytes or more, at most {most} are taken", "send less at once"
        )

    async def _keep(self, identity: Identity, batch: Batch, body: bytes) -> tuple[int, bool]:
        self._admit(identity, batch, self._clock())
        key = (run_of(batch), batch.sequence)
        under_way = self._under_way.get(key)
        if under_way is not None or key in self._seen:
            if under_way is not None:
                await self._durable(under_way)
            self.counts.duplicates += 1
            return batch.sequence, True
        done = self._commit.submit(batch, body).done
        self._under_way[key] = done
        try:
            # Shielded: whoever hangs up now must not take the batch with them, nor a repeat that waits for it too.
            await self._durable(done)
        finally:
            if done.done():
                self._under_way.pop(key, None)
            else:
                done.add_done_callback(lambda _: self._under_way.pop(key, None))
        return batch.sequence, False

    def _admit(self, identity: Identity, batch: Batch, now_ns: int) -> None:
        """Whether this identity may say this now; raises _No."""
        node = batch.node
        said = authorise(identity, Permission.INGEST, Target(cluster=node.cluster, node=node.id))
        if isinstance(said, Refused):
            raise _No(said.status, "node", said.reason, said.do)
        if any(subject.cluster != node.cluster for subject in spoken_of(batch)):
            raise _No(422, "clusters", f"the batch of {node} speaks of another cluster too", "one cluster a batch")
        if identity.node is not None:
            misplaced = self.placement.misplaced(batch, now_ns)
            if misplaced:
                what = f"the batch of {node} is refused: {misplaced}"
                raise _No(403, "misplaced", what, "a moved card is believed 10 min after its old node fell silent")
        if self._full(batch.origin, node.cluster):
            what = f"too many watches are open for one more, {batch.origin.value} of {node.cluster}"
            raise _No(503, "spaces", what, "end a replay, or raise watch.spaces", _BUSY_RETRY_SECONDS)
        ahead = (batch.sent_ns - now_ns) / _NANOSECONDS
        if batch.origin in self._as_live and ahead > self._limits.ahead_seconds:
            what = f"the clock of {node} is {ahead:.0f} s ahead of the agent's"
            raise _No(422, "clock", what, "set the clock of that node, or of the agent")

    def committed(self, entry: Entry) -> None:
        """Called for each entry that is on disk, before its answer goes out: from here on a repeat is a duplicate."""
        batch = entry.batch
        self._seen.add(run_of(batch), batch.sequence)
        self.placement.learn(batch, entry.received_ns)
        self.counts.batches += 1
        self.counts.events += len(batch.events)
        self.counts.body_bytes += len(entry.body)

    async def _durable(self, done: asyncio.Future[None]) -> None:
        try:
            await asyncio.shield(done)
        except RetryLater as error:
            after = round(error.after_seconds or _BUSY_RETRY_SECONDS)
            raise _No(503, "disk", str(error), "keep the batch and send it again", after) from None


async def _answer_no(send: Send, no: _No) -> None:
    headers: list[tuple[bytes, bytes]] = []
    if no.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if no.retry_after:
        headers.append((b"retry-after", b"%d" % no.retry_after))
    if no.location:
        headers.append((b"location", no.location.encode("latin-1", "replace")))
    if no.status in (408, 413):
        headers.append((b"connection", b"close"))  # the rest of the body is not read
    line = {"what": no.what, "where": "/v1/batch", "do": no.do}
    await _answer(send, no.status, msgspec.json.encode({"error": line}), headers)


async def _answer(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    headers += [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
