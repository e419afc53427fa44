"""Plays a recording of batches, or a bundle, to an agent: the batches of many nodes, as a replay.

They have been through their collectors and spools already, so they go straight to the agent, each half second of them
over a few connections at once (the agent's ticks lie on half seconds, so their order within one does not matter). The
agent drives what is not live by `sent_ns`: each batch bears the time at which the agent of that day took it in.
"""

import http.client
import ssl
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from uuid import uuid4
from zlib import crc32

from msgspec.structs import replace

from collectors.errors import FixConfiguration, GiveUp, RetryLater
from collectors.model import Batch, Event, EventKind, EventSource, Origin, Subject
from collectors.recording.batches import BatchRecording
from collectors.run import Stop, sleep_until
from collectors.sending.endpoint import BATCH_PATH, Endpoint
from collectors.wire import CONTENT_ENCODING, CONTENT_TYPE, encode

CONNECTIONS = 8
CELL_NS = 500_000_000
PATIENCE_SECONDS = 60.0
"""How long an agent may be away or busy before playing ends."""
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 0.1, 5.0
_ANSWER_BYTES = 64 * 1024


@dataclass(slots=True)
class _Line:
    """One connection, and what it takes to get a batch across. Belongs to one thread at a time."""

    endpoint: Endpoint
    token: str
    stop: Stop
    connection: http.client.HTTPConnection | None = None
    refused: list[str] = field(default_factory=list)
    """What the agent said to batches that it will never take."""

    def post(self, batch: Batch) -> None:
        """RetryLater where the agent stays away, FixConfiguration where it does not let us."""
        body, until, wait = encode(batch), time.monotonic() + PATIENCE_SECONDS, _FIRST_WAIT_SECONDS
        while not self.stop.asked():
            try:
                status, said = self._ask(body)
            except (OSError, http.client.HTTPException) as error:
                self.close()
                status, said = 0, " ".join(str(error).split())[:200]
            if 200 <= status < 300:
                return
            if status in (401, 403):
                raise FixConfiguration(
                    f"{self.endpoint} does not let this token play a recording of many nodes ({status}: {said}); "
                    "use one with the role ingest that is bound to no node"
                )
            if status and status not in (408, 421, 425, 429) and status < 500:
                self.refused.append(f"{status}: {said}")
                return
            if time.monotonic() > until:
                raise RetryLater(f"{self.endpoint} takes nothing ({status or 'no answer'}: {said}); play it again")
            sleep_until(time.monotonic() + wait, self.stop)
            wait = min(2 * wait, _LONGEST_WAIT_SECONDS)

    def close(self) -> None:
        """Let go of the connection."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def _ask(self, body: bytes) -> tuple[int, str]:
        if self.connection is None:
            self.connection = self.endpoint.connect()
        headers = {
            "authorization": f"Bearer {self.token}",
            "content-type": CONTENT_TYPE,
            "content-encoding": CONTENT_ENCODING,
        }
        try:
            self.connection.request("POST", f"{self.endpoint.path}{BATCH_PATH}", body, headers)
            answer = self.connection.getresponse()
            return answer.status, answer.read(_ANSWER_BYTES).decode("utf-8", "replace")[:300]
        except ssl.SSLCertVerificationError as error:
            raise FixConfiguration(
                f"the certificate of {self.endpoint} is not trusted ({error.verify_message}); set agent.ca_file"
            ) from None


def play_batches(
    recording: BatchRecording,
    endpoint: Endpoint,
    *,
    speed: float,
    stop: Stop,
    tell: Callable[[int, int], None] = lambda _received_ns, _batches: None,
) -> bool:
    """Play it `speed` times as fast as it happened, 0 as fast as it goes; True if to its end.

    `tell` is called with the recording's time and the batches sent so far. Raises FixConfiguration, RetryLater, and
    GiveUp where the agent refused batches for good.
    """
    token = endpoint.read_token()
    lines = [_Line(endpoint, token, stop) for _ in range(CONNECTIONS)]
    begun: tuple[float, int] | None = None
    sent = begun_cells = 0
    with ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="play") as pool:
        try:
            for cell, several in groupby(told_as_replay(recording), key=lambda one: one.sent_ns // CELL_NS):
                if stop.asked():
                    return False
                begun = begun or (time.monotonic(), cell * CELL_NS)
                if speed > 0:
                    sleep_until(begun[0] + (cell * CELL_NS - begun[1]) / 1e9 / speed, stop)
                shares: dict[int, list[Batch]] = {}
                for batch in several:
                    # a node's batches stay in order; the first cell makes the watch, so it goes one by one
                    share = crc32(batch.node.id.encode()) % CONNECTIONS if begun_cells else 0
                    shares.setdefault(share, []).append(batch)
                    sent += 1
                begun_cells += 1
                for done in [pool.submit(_post_all, lines[at], some) for at, some in shares.items()]:
                    done.result()
                tell(cell * CELL_NS, sent)
        finally:
            for line in lines:
                line.close()
    refused = [said for line in lines for said in line.refused]
    if refused:
        raise GiveUp(
            f"{recording.path}: the agent refused {len(refused)} batches for good; the first with {refused[0]}"
        )
    return not stop.asked()


def told_as_replay(recording: BatchRecording) -> Iterator[Batch]:
    """The batches as an agent must be sent them, in order, and at the end a goodbye of each collector.

    Spools get names of their own, so that a recording can be played again. One more spool speaks from beginning to end:
    an agent takes a replay for over once all its spools have said goodbye, and collectors do that on the way as well.
    """
    run = uuid4().hex[:12]
    last: dict[tuple[Subject, str], Batch] = {}
    conductor: Batch | None = None
    for received_ns, batch in recording.play():
        batch = replace(batch, origin=Origin.REPLAY, sent_ns=received_ns, spool_id=f"{batch.spool_id[:400]}-{run}")
        if conductor is None:
            conductor = replace(
                batch, spool_id=f"conductor-{run}", sequence=0, facts=(), tables=(), events=(), suspicion=""
            )
            yield conductor
        last[batch.node, batch.spool_id] = batch
        yield batch
    if conductor is None:
        return
    end_ns = max(recording.end_ns, *(batch.sent_ns for batch in last.values()))
    for batch in (*last.values(), conductor):
        goodbye = Event(EventKind.COLLECTOR_GOODBYE, batch.node, end_ns, EventSource.COLLECTOR)
        yield replace(
            batch,
            sequence=batch.sequence + 1,
            sent_ns=end_ns,
            facts=(),
            tables=(),
            events=(goodbye,),
            suspicion="",
        )


def _post_all(line: _Line, batches: list[Batch]) -> None:
    for batch in batches:
        line.post(batch)
