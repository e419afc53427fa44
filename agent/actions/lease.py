"""Who leads: a lease at the Kubernetes API (coordination.k8s.io), held by one agent at a time.

Its own loop, for three reasons. The client's own election code keeps no fence: nothing would stop a process that was
paused for a minute and writes the moment it wakes. Time is that of CLOCK_BOOTTIME, which runs on while a process or a
machine sleeps and never jumps. And every request has a time-out well below the lease.

A holder believes in its lease for four fifths of its duration, counted from before the renewal was sent; others wait
for the whole of it, counted from when they saw the last renewal. So two never lead at once, however their clocks stand.
"""

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from collectors.errors import FixConfiguration, GiveUp, RetryLater
from policies.cluster.client import Json, KubeClient, NotThere, path_of
from policies.journal import Stale

_log = logging.getLogger(__name__)

ADDRESS = "watchstander.io/address"
"""Annotation: where the leader takes in batches, for its standbys to say."""
AUDIT_HEAD = "watchstander.io/audit-head"
"""Annotation: the audit's newest hash, its sequence number and when that was, as docs/audit.md explains."""
SHARE_BELIEVED = 0.8
PERIODS = 6
"""Renewals within one duration."""
API_VERSION = "coordination.k8s.io/v1"


def boot_seconds() -> float:
    """Seconds since the machine started, time asleep among them."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Lease:
    """One agent's view of the lease, and its hold on it. `run` in a thread of its own; the rest from any thread."""

    def __init__(
        self,
        client: KubeClient,
        namespace: str,
        name: str,
        identity: str,
        *,
        address: str = "",
        seconds: float = 15.0,
        clock: Callable[[], float] = boot_seconds,
        floor: Callable[[], int] = lambda: 0,
        led: Callable[[int | None], None] = lambda _generation: None,
        stands_by: Callable[[], None] = lambda: None,
    ) -> None:
        """`client`: without a fence, with a time-out far below `seconds`. `identity`: no other process has ever had it.

        `clock` gives seconds of a clock that never jumps. `floor`: the highest generation that the journal knows; a
        lease that somebody has deleted must not begin below it. `led` is called in the loop's thread with each new
        generation, and with None when the lead is lost; what it raises is told in `problem`, and it is called again.
        `stands_by` is called when another was seen to renew: it is alive, and leads.
        """
        self._client = client
        self._path = path_of(API_VERSION, "leases", namespace, name)
        self._list_path = path_of(API_VERSION, "leases", namespace)
        self._namespace, self._name = namespace, name
        self.identity = identity
        self.address = address
        self.seconds = seconds
        self._clock = clock
        self._floor = floor
        self._led = led
        self._stands_by = stands_by
        self._another_lives = False
        self._outdone = False
        self._lock = threading.Lock()
        self._believed_until = -1.0
        self._generation = 0
        self._announced: int | None = None
        self._accepted = 0
        """The last generation that `led` has taken note of."""
        self._seen = ("", 0.0)
        """The last record of another holder, and when it was first seen."""
        self._holder = ""
        self._holder_address = ""
        self._more: dict[str, str] = {}
        self._wake = threading.Event()
        self.problem = ""
        """Why nothing is known of the lease now; empty where all is well."""

    def run(self, stop: threading.Event) -> None:
        """Hold it or wait for it, until told to stop; then let go."""
        while not stop.is_set():
            self.step()
            self._wake.wait(self.seconds / PERIODS)
            self._wake.clear()
        self.release()

    def wake(self) -> None:
        """Look at once: for an end that does not wait for the next renewal."""
        self._wake.set()

    def annotate(self, name: str, value: str) -> None:
        """Have an annotation written with the next renewal."""
        with self._lock:
            self._more[name] = value

    def outdone(self) -> None:
        """The store knows a newer generation than ours. From any thread: do not lead, and take a newer one where the
        lease is ours all the same (somebody has put back an old one)."""
        with self._lock:
            self._believed_until, self._outdone = -1.0, True
        self._wake.set()

    # what others ask

    def generation(self, _now_ns: int = 0) -> int | None:
        """Ours while we lead; None where we do not, can no longer be sure, or `led` has not heard of it yet."""
        held = self._held()
        return held if held == self._accepted else None

    def check(self) -> None:
        """The fence before every write. Raises Stale where the lease may have lapsed."""
        if self.generation() is None:
            raise Stale(f"{self.identity} does not lead: its lease {self._namespace}/{self._name} may have lapsed")

    def leader(self, _now_ns: int = 0) -> str:
        """Why this agent is not the leader; empty where it is (G21)."""
        if self.generation() is not None:
            return ""
        if self.problem:
            return f"who leads is not known: {self.problem}"
        held = f"{self._holder} leads" if self._holder and self._holder != self.identity else "nobody leads yet"
        return f"{held}, this agent stands by"

    @property
    def led_by_another(self) -> bool:
        """Whether the lease was last seen in another's hands."""
        return bool(self._holder) and self._holder != self.identity

    @property
    def leader_address(self) -> str:
        """Where the agent that leads takes in batches; empty where that is not known, or it is this one."""
        return self._holder_address if self._holder != self.identity else ""

    # the loop

    def step(self) -> None:
        """One look: renew, take over, or wait. Never raises for what the API server says."""
        try:
            self._step()
            self.problem = ""
        except (RetryLater, FixConfiguration, GiveUp) as error:
            if str(error) != self.problem:
                _log.warning("lease: %s", error)
            self.problem = str(error)
        generation = self._held()
        try:
            if generation != self._announced:
                self._led(generation)
                self._announced = generation
                self._accepted = generation or self._accepted
                _log.info("this agent %s", f"leads under generation {generation}" if generation else "leads no more")
            if self._another_lives and self.led_by_another:
                self._another_lives = False
                self._stands_by()
        except (RetryLater, FixConfiguration, GiveUp) as error:
            if str(error) != self.problem:
                _log.warning("lease: %s", error)
            self.problem = str(error)

    def release(self) -> None:
        """Let go, so that a standby need not wait for the lease to lapse."""
        if self._held() is None:
            return
        with self._lock:
            self._believed_until = -1.0
        try:
            lease = self._client.get(self._path)
            if lease["spec"].get("holderIdentity") == self.identity:
                lease["spec"] |= {"holderIdentity": "", "renewTime": _now()}
                self._client.put(self._path, lease)
        except (RetryLater, FixConfiguration, GiveUp) as error:
            _log.info("the lease was not let go of and will lapse: %s", error)

    def _held(self) -> int | None:
        with self._lock:
            return self._generation if self._clock() < self._believed_until else None

    def _step(self) -> None:
        began = self._clock()
        try:
            lease = self._client.get(self._path)
        except NotThere:
            self._missing(began)
            return
        spec = lease.get("spec") or {}
        holder = str(spec.get("holderIdentity") or "")
        annotations = lease.get("metadata", {}).get("annotations") or {}
        self._holder, self._holder_address = holder, str(annotations.get(ADDRESS, ""))
        if holder == self.identity:
            generation = max(1, int(spec.get("leaseTransitions") or 0))
            self._put(lease, spec, began, max(generation, self._floor()) + 1 if self._outdone else generation)
            return
        with self._lock:
            self._believed_until = -1.0
        record = f"{holder} {spec.get('renewTime')} {spec.get('leaseTransitions')}"
        if self._seen[0] != record:
            self._another_lives = bool(holder) and self._seen[0].partition(" ")[0] == holder
            self._seen = (record, began)
        if holder and began - self._seen[1] < max(float(spec.get("leaseDurationSeconds") or 0), self.seconds):
            return
        generation = max(int(spec.get("leaseTransitions") or 0), self._floor()) + 1
        spec["acquireTime"] = _now()
        self._put(lease, spec, began, generation)
        self._holder, self._holder_address = self.identity, self.address

    def _missing(self, began: float) -> None:
        """There is no lease: nobody has ever led, or somebody has deleted it under a leader that does not know yet."""
        known = max(self._floor(), self._generation)
        leads = self._held() is not None
        if self._seen[0] != "missing":
            self._seen = ("missing", began)
        if known and not leads and began - self._seen[1] < self.seconds:
            self._holder = ""
            return
        generation = known + 1
        lease: Json = {
            "apiVersion": API_VERSION,
            "kind": "Lease",
            "metadata": {"name": self._name, "namespace": self._namespace},
        }
        self._fill(lease, {"acquireTime": _now()}, generation)
        self._client.post(self._list_path, lease)
        self._believe(began, generation)
        self._holder, self._holder_address = self.identity, self.address

    def _put(self, lease: Json, spec: Json, began: float, generation: int) -> None:
        """Write it; its resourceVersion refuses whoever read it before another wrote."""
        self._fill(lease, spec, generation)
        self._client.put(self._path, lease)
        self._believe(began, generation)

    def _fill(self, lease: Json, spec: Json, generation: int) -> None:
        lease["spec"] = {
            **spec,
            "holderIdentity": self.identity,
            "leaseDurationSeconds": max(1, round(self.seconds)),
            "leaseTransitions": generation,
            "renewTime": _now(),
        }
        metadata = lease["metadata"]
        metadata.pop("managedFields", None)
        with self._lock:
            metadata["annotations"] = {**(metadata.get("annotations") or {}), ADDRESS: self.address, **self._more}

    def _believe(self, began: float, generation: int) -> None:
        with self._lock:
            self._generation, self._outdone = generation, False
            self._believed_until = began + self.seconds * SHARE_BELIEVED


class StoreLead:
    """The lead of an agent whose store has no second owner, or that has no cluster: always its own."""

    def __init__(self, generation: int) -> None:
        """`generation`: from `StoreJournal.next_generation`, above all before."""
        self._generation = generation

    def generation(self, _now_ns: int = 0) -> int | None:
        """Always."""
        return self._generation

    def check(self) -> None:
        """Never raises."""

    def leader(self, _now_ns: int = 0) -> str:
        """Empty: it is the leader."""
        return ""

    @property
    def leader_address(self) -> str:
        """Empty: it is this one."""
        return ""

    @property
    def problem(self) -> str:
        """None."""
        return ""


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
