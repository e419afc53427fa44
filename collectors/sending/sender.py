"""Takes batches out of the spool, oldest first, to the agent. One thread, one connection kept alive.

What an answer means:

| answer | what happens |
| --- | --- |
| 2xx | acknowledged: the batch leaves the spool |
| 421 | not the leader: go to the address in `location` or `watchstander-leader`, three hops at most |
| 401, 403 | kept; the token file is read again at once (tokens are exchanged while we run), then with growing waits |
| 404, 405, 407, 3xx | kept, with growing waits: there is something else at this address, and no batch is to blame |
| 408, 425, 429, 503, other 5xx | kept; after `retry-after` where it is given, else with growing waits |
| 400, 413, any other 4xx | refused for good: to the quarantine, and on with the next |
| none: refused, time-out, torn, TLS | kept, with growing waits; a kept-alive connection that died is renewed at once |

Waits double from 0.5 s to 60 s; each is drawn between half of that and all of it, so that a fleet does not come back
in step.
"""

import http.client
import logging
import random
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import msgspec

from collectors.errors import FixConfiguration, GiveUp, RetryLater
from collectors.sending.disk import Waiting
from collectors.sending.endpoint import BATCH_PATH, Endpoint
from collectors.sending.quarantine import Quarantine
from collectors.sending.spool import Spool
from collectors.wire import CONTENT_ENCODING, CONTENT_TYPE

_LOG = logging.getLogger(__name__)

FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 60.0
LONGEST_RETRY_AFTER_SECONDS = 300.0
CONNECTION_SECONDS = 600.0
"""A connection is closed after this, so that a new token is used long before the old one lapses."""
REMIND_SECONDS = 60.0
"""A trouble that stays is logged this often."""
MOST_HOPS = 3
_ANSWER_BYTES = 64 * 1024
_NOT_THE_BATCH = {404, 405, 407}
_LATER = {408, 425, 429}
NOW_HEADER = "watchstander-now-ns"
"""The node's clock at this attempt; `sent_ns` in a batch that waited in the spool is older."""


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    reason: str
    headers: http.client.HTTPMessage
    text: str


class _NotLeader(Exception):  # noqa: N818 - control flow within this file
    def __init__(self, leader: Endpoint) -> None:
        super().__init__()
        self.leader = leader


class Sender:
    """Sends what waits. `send_next` is one attempt and can be driven by hand; `start` runs it on a thread."""

    def __init__(
        self,
        spool: Spool,
        quarantine: Quarantine,
        endpoint: Endpoint,
        *,
        now_ns: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], float] = time.monotonic,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        """`now_ns` and `monotonic` are the clocks, `uniform` draws the waits."""
        self._spool = spool
        self._quarantine = quarantine
        self._home = endpoint
        self._endpoint = endpoint
        self._now_ns = now_ns
        self._monotonic = monotonic
        self._uniform = uniform
        self._connection: http.client.HTTPConnection | None = None
        self._token = ""
        self._connected_at = 0.0
        self._used = False
        """Whether the connection has answered before."""
        self._failures = 0
        self._hops = 0
        self._trouble = ""
        self._told_at = 0.0
        self._wake = threading.Event()
        self._drained = threading.Event()
        self._stopping = False
        self._hurry = False
        self._asked_to_wait = False
        self._thread: threading.Thread | None = None
        self.counts: Counter[str] = Counter()
        """Since the start: `sent`, `refused`, `failed` (attempts)."""

    # --- one attempt

    def send_next(self) -> float | None:
        """Try the oldest batch once. Returns seconds to wait before the next call, None if nothing waits."""
        waiting = self._spool.oldest()
        if waiting is None:
            return None
        try:
            self._send(waiting)
        except _NotLeader as elsewhere:
            return self._follow(elsewhere.leader)
        except GiveUp as error:
            _LOG.error("batch %d of spool %s: %s; put into quarantine", waiting.sequence, waiting.spool_id, error)
            self._quarantine.put(waiting, str(error), self._now_ns())
            self._spool.acknowledge(waiting)
            self.counts["refused"] += 1
            self._all_well()
            return 0.0
        except (RetryLater, FixConfiguration) as error:
            return self._failed(error)
        self._spool.acknowledge(waiting)
        self.counts["sent"] += 1
        self._all_well()
        return 0.0

    def _send(self, waiting: Waiting) -> None:
        answer = self._post(waiting.body)
        if answer.status in (401, 403):
            # The token may have been exchanged since this connection was made: read it again, once, at once.
            old_token, self._token = self._token, ""
            self._disconnect()
            if self._endpoint.read_token() != old_token:
                answer = self._post(waiting.body)
                if answer.status in (401, 403):
                    self._disconnect()
        if 200 <= answer.status < 300:
            return
        said = f"{self._endpoint} answers {answer.status} {answer.reason}".rstrip()
        if answer.text:
            said = f"{said}: {answer.text}"
        if answer.status in (401, 403):
            raise RetryLater(f"{said}; check agent.token_file {self._endpoint.token_file} and the node's rights")
        if answer.status == 421:
            raise _NotLeader(self._leader(answer, said))
        if answer.status in _LATER or answer.status >= 500:
            raise RetryLater(said, _retry_after(answer.headers, self._now_ns()))
        if answer.status in _NOT_THE_BATCH or answer.status < 400:
            raise RetryLater(f"{said}; is agent.url the address of a Watchstander agent?")
        raise GiveUp(said)

    def _post(self, body: bytes) -> _Answer:
        headers = {
            "content-type": CONTENT_TYPE,
            "content-encoding": CONTENT_ENCODING,
            NOW_HEADER: str(self._now_ns()),
        }
        if self._connection is not None and self._monotonic() - self._connected_at >= CONNECTION_SECONDS:
            self._disconnect()
        reused = self._connection is not None and self._used
        try:
            return self._request(body, headers)
        except (http.client.HTTPException, OSError, ValueError) as error:
            self._disconnect()
            if not reused or isinstance(error, TimeoutError):
                raise RetryLater(f"{self._endpoint}: {_what(error)}") from None
        # A server may close an idle connection just as we use it; that says nothing about the agent.
        try:
            return self._request(body, headers)
        except (http.client.HTTPException, OSError, ValueError) as error:
            self._disconnect()
            raise RetryLater(f"{self._endpoint}: {_what(error)}") from None

    def _request(self, body: bytes, headers: dict[str, str]) -> _Answer:
        connection = self._connection
        if connection is None:
            self._token = self._endpoint.read_token()
            connection = self._endpoint.connect()
            connection.connect()
            if connection.sock is not None:
                connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connection, self._connected_at, self._used = connection, self._monotonic(), False
        path = self._endpoint.path + BATCH_PATH
        connection.request("POST", path, body, {**headers, "authorization": f"Bearer {self._token}"})
        response = connection.getresponse()
        length = response.length
        text = response.read(_ANSWER_BYTES)
        if length is not None and len(text) < min(length, _ANSWER_BYTES):
            raise http.client.IncompleteRead(text, length - len(text))
        if response.will_close or not response.isclosed():
            # More than we care to read, or the server wants it closed: this connection is done.
            self._disconnect()
        self._used = True
        return _Answer(response.status, _plain(response.reason), response.headers, _said(text))

    def _leader(self, answer: _Answer, said: str) -> Endpoint:
        address = answer.headers.get("location") or answer.headers.get("watchstander-leader")
        if not address:
            raise RetryLater(
                f"{said}; it is not the leader and names none", _retry_after(answer.headers, self._now_ns())
            )
        if "://" not in address:
            address = f"{self._endpoint.scheme}://{address}"
        try:
            return self._endpoint.elsewhere(address)
        except FixConfiguration as error:
            raise RetryLater(f"{said}; {error}") from None

    def _follow(self, leader: Endpoint) -> float:
        self._hops += 1
        if self._hops > MOST_HOPS:
            self._hops = 0
            self._go_home()
            return self._failed(RetryLater(f"{self._home}: sent on {MOST_HOPS} times and still not at the leader"))
        _LOG.info("the agent at %s is not the leader; going to %s", self._endpoint, leader)
        self._disconnect()
        self._endpoint = leader
        return 0.0

    # --- trouble

    def _failed(self, error: RetryLater | FixConfiguration) -> float:
        self.counts["failed"] += 1
        self._disconnect()
        self._go_home()
        self._spool.sync()  # what cannot leave now has to outlive a power cut
        self._failures += 1
        asked = error.after_seconds if isinstance(error, RetryLater) else None
        self._asked_to_wait = asked is not None
        if asked is not None:
            least = min(asked, LONGEST_RETRY_AFTER_SECONDS)
            wait = least + self._uniform(0.0, max(1.0, least / 10))
        else:
            longest = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2 ** min(self._failures - 1, 20))
            wait = self._uniform(longest / 2, longest)
        self._tell(str(error), wait)
        return wait

    def _tell(self, trouble: str, wait: float) -> None:
        now = self._monotonic()
        if trouble != self._trouble or now - self._told_at >= REMIND_SECONDS:
            waiting = self._spool.waiting_batches
            _LOG.warning("%s; %d batches wait, next attempt in %.1f s", trouble, waiting, wait)
            self._told_at = now
        self._trouble = trouble

    def _all_well(self) -> None:
        if self._trouble:
            _LOG.warning("the agent at %s takes batches again", self._endpoint)
        self._trouble = ""
        self._failures = self._hops = 0

    def _go_home(self) -> None:
        """Back to the configured address, which knows who leads now."""
        if self._endpoint is not self._home:
            self._disconnect()
            self._endpoint = self._home

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    # --- the thread

    def start(self) -> None:
        """Send on a thread of its own until `stop`."""
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Say that there is something new to send."""
        self._wake.set()

    def flush(self, seconds: float) -> bool:
        """Wait until nothing waits any more, at most so long. Returns whether that came true.

        From here on failed attempts are repeated every half second, unless the agent has said when to come back.
        """
        self._hurry = True
        deadline = self._monotonic() + seconds
        while self._spool.waiting_batches:
            left = deadline - self._monotonic()
            if left <= 0 or self._thread is None or not self._thread.is_alive():
                return False
            self._drained.clear()
            self._wake.set()
            self._drained.wait(left)
        return True

    def stop(self) -> None:
        """End the thread; an attempt under way is not waited for longer than its time-out."""
        self._stopping = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(self._home.timeout_seconds + 1)
        self._disconnect()

    def _run(self) -> None:
        wait: float | None = 0.0
        while not self._stopping:
            try:
                wait = self.send_next()
            except Exception:  # noqa: BLE001 - the thread's outermost loop: sending must not end silently
                _LOG.exception("sender: unexpected error; going on")
                self.counts["failed"] += 1
                self._disconnect()
                wait = LONGEST_WAIT_SECONDS
            if wait == 0.0:
                continue
            if wait is None:
                self._drained.set()
                self._wake.wait()
                self._wake.clear()
            else:
                self._pause(wait)

    def _pause(self, seconds: float) -> None:
        """Wait out a refusal. A new batch does not shorten it; stopping does."""
        begun = self._monotonic()
        while not self._stopping:
            waited = self._monotonic() - begun
            if waited >= seconds or (self._hurry and not self._asked_to_wait and waited >= FIRST_WAIT_SECONDS):
                return
            self._wake.wait(min(seconds - waited, FIRST_WAIT_SECONDS))
            self._wake.clear()


class _Error(msgspec.Struct):
    what: str
    do: str = ""


class _ErrorAnswer(msgspec.Struct):
    error: _Error


def _said(body: bytes) -> str:
    """What an answer's body says: an agent's `{"error": {"what", "do"}}` in words, else its beginning."""
    try:
        error = msgspec.json.decode(body, type=_ErrorAnswer).error
    except (ValueError, RecursionError):
        return _plain(body[:500].decode("utf-8", "replace"))
    return _plain("; ".join(part for part in (error.what, error.do) if part))


def _retry_after(headers: http.client.HTTPMessage, now_ns: int) -> float | None:
    value = (headers.get("retry-after") or "").strip()
    if value.isascii() and value.isdecimal():
        return float(value[:9])
    try:
        then = parsedate_to_datetime(value)
        return max(0.0, then.timestamp() - now_ns / 1e9)
    except (ValueError, TypeError, OverflowError):
        return None


def _what(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate not accepted ({error.verify_message}); check agent.ca_file and the host in agent.url"
    if isinstance(error, OSError) and error.strerror:
        return _plain(error.strerror)
    return _plain(f"{type(error).__name__} {error}")


def _plain(text: str) -> str:
    """Text from outside as part of one log line."""
    return "".join(c if c.isprintable() else " " for c in text[:500]).strip()
