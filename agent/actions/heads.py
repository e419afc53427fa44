"""The audit's newest hash, published outside the store: a database that was rewritten or cut then no longer fits it.

Three places: the agent's own Lease, where the API server's audit log keeps every value; the agent's log; and, where the
settings name one, a webhook. docs/audit.md says what that is good for.
"""

import logging
import urllib.error
import urllib.request
from collections.abc import Callable

import msgspec

from agent.actions.lease import AUDIT_HEAD, Lease, StoreLead
from agent.store.store import Store

_log = logging.getLogger(__name__)

WEBHOOK_SECONDS = 10.0


class Head(msgspec.Struct, frozen=True):
    """What is published."""

    hash: str
    sequence: int
    """Of the entry whose hash it is: how many there are."""
    time_ns: int
    """When it was published, Unix ns."""


class Heads:
    """`publish` from one thread at a time."""

    def __init__(self, store: Store, lead: Lease | StoreLead, webhook: str, clock: Callable[[], int]) -> None:
        """`webhook`: a URL; empty: none. `clock` gives Unix ns."""
        self._store = store
        self._lead = lead
        self._webhook = webhook
        self._clock = clock
        self.published = 0
        self.last: Head | None = None
        self.problem = ""
        """Why the webhook did not take the last one."""

    def publish(self) -> Head | None:
        """Publish it, where this agent leads and there is an audit. Raises what the store raises."""
        if self._lead.generation() is None:
            return None
        newest = self._store.audit(limit=1, newest_first=True)
        if not newest:
            return None
        head = Head(newest[0].hash, newest[0].sequence, self._clock())
        if isinstance(self._lead, Lease):
            self._lead.annotate(AUDIT_HEAD, msgspec.json.encode(head).decode())
        _log.info("audit head %s at entry %d", head.hash, head.sequence)
        self._send(head)
        self.last = head
        self.published += 1
        return head

    def _send(self, head: Head) -> None:
        if not self._webhook:
            return
        request = urllib.request.Request(  # noqa: S310 - an administrator's URL, checked when the settings are read
            self._webhook, msgspec.json.encode(head), {"Content-Type": "application/json"}, method="POST"
        )
        try:
            with urllib.request.urlopen(request, timeout=WEBHOOK_SECONDS) as answer:  # noqa: S310
                answer.read(1024)
            self.problem = ""
        except (urllib.error.URLError, OSError, ValueError) as error:
            self.problem = f"audit webhook: {error}; the Lease and the log have the hash"
            _log.warning("%s", self.problem)
