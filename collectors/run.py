"""The live collector: look, listen, spool, send, until it is told to stop."""

import logging
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from collectors.collector import STEP_SECONDS, Collector, Identity
from collectors.errors import FixConfiguration
from collectors.model import Batch, Origin, Subject, SubjectKind
from collectors.run_sources import Sources
from collectors.sending.delivery import Delivery
from collectors.settings import Settings, find_node

_LOG = logging.getLogger(__name__)

BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")
POSITIONS_FILE = "positions.json"
LOG_ERROR_SECONDS = 60.0


class Stop:
    """Turns SIGTERM and SIGINT into a question that the loop asks. A flag, not an Event: setting one in a signal
    handler can wait for a lock that the interrupted thread holds."""

    def __init__(self) -> None:
        self._asked = False

    def listen(self) -> "Stop":
        """From now on the two signals ask to stop."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note)
        return self

    def asked(self) -> bool:
        """Whether it is time to stop."""
        return self._asked

    def ask(self) -> None:
        """Ask to stop."""
        self._asked = True

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self._asked = True


def read_boot_id(path: Path = BOOT_ID_FILE) -> str:
    """The kernel's id of this boot. Raises FixConfiguration where there is none."""
    try:
        boot_id = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        boot_id = ""
    if not boot_id:
        raise FixConfiguration(f"{path} cannot be read: mount /proc into the collector")
    return boot_id


def run_live(settings: Settings, stop: Stop) -> None:
    """Collect until asked to stop; then say goodbye, and give what is left `spool.flush_seconds` to arrive.

    Raises FixConfiguration before anything is collected, never later.
    """
    plan = settings.plan()
    endpoint = settings.endpoint()
    names = find_node(settings.node)
    node = Subject(settings.cluster, SubjectKind.NODE, names.id)
    boot_id = read_boot_id()
    directory = Path(settings.spool.directory)
    identity = Identity(settings.cluster, node, names.name, boot_id, spool_id="", origin=Origin.LIVE)
    delivery = Delivery.open(settings.spool, directory, endpoint, identity)
    sources: Sources | None = None
    try:
        sources = Sources(settings, node, names.name, boot_id, directory / POSITIONS_FILE)
        collector = Collector(identity, sources.gpus, sources.logs, plan)
        _LOG.info(
            "collecting on node %s (id %s by %s), cluster %s, for %s", names.name, names.id, names.said_by,
            settings.cluster, endpoint,
        )  # fmt: skip
        # Twice the longest that an event waits in the collector, and a beat more.
        held_back_ns = int((2 * plan.events_seconds + STEP_SECONDS) * 1e9)
        _loop(collector, sources, delivery, stop, held_back_ns)
        delivery.hand_over(collector.goodbye(time.time_ns()))
        delivery.tell_losses(time.time_ns())
        sources.save()
    finally:
        if sources is not None:
            sources.close()
        outcome = delivery.finish(settings.spool.flush_seconds)
    _LOG.info("stopped: %d batches sent, %d refused, %d wait on disk", outcome.sent, outcome.refused, outcome.waiting)


def _loop(collector: Collector, sources: Sources, delivery: Delivery, stop: Stop, held_back_ns: int) -> None:
    beat = time.monotonic()
    quiet_until = 0.0
    errors = 0
    while not stop.asked():
        now_ns = time.time_ns()
        try:
            batches: list[Batch] = collector.step(now_ns)
            for batch in batches:
                delivery.hand_over(batch)
            delivery.tell_losses(now_ns)
            sources.tend(now_ns, held_back_ns)
        except Exception:  # noqa: BLE001 - the collector's outermost loop: one bad look must not end the watch
            errors += 1
            if time.monotonic() >= quiet_until:
                _LOG.exception("collector: unexpected error, %d so far; going on", errors)
                quiet_until = time.monotonic() + LOG_ERROR_SECONDS
        beat = max(beat + STEP_SECONDS, time.monotonic())
        sleep_until(beat, stop)


def sleep_until(
    monotonic_seconds: float,
    stop: Stop,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Sleep until that time by the monotonic clock, or until asked to stop: at most a beat later."""
    while not stop.asked() and (left := monotonic_seconds - monotonic()) > 0:
        sleep(min(left, STEP_SECONDS))
