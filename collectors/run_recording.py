"""Plays a recording to an agent: through the collector, spool and sender of a live node, with origin replay.
Recordings of batches and bundles have been through them already (`collectors.run_batches`).

The spool makes it safe to interrupt. A recording plays the same batches each time, in the same order, so their number
says how far it got: after a crash the next run on the same spool goes on behind the last batch that was kept. A run
that arrived whole leaves the spool as new, and the next one plays from the start again.
"""

import json
import logging
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from collectors.errors import FixConfiguration, GiveUp, RetryLater
from collectors.recording.batches import BatchRecording, holds_batches
from collectors.recording.bundle import Bundle
from collectors.recording.folder import Recording
from collectors.recording.play import play
from collectors.run import Stop, sleep_until
from collectors.run_batches import play_batches
from collectors.sampling.plan import SamplingPlan
from collectors.sending.delivery import Delivery
from collectors.sending.endpoint import Endpoint
from collectors.settings import Settings

_LOG = logging.getLogger(__name__)

MARKER = "recording.json"
PROGRESS_SECONDS = 1.0
MOST_WAITING = 1_000
"""Batches that may wait before playing pauses: an agent that is slower than the recording is waited for."""
LONGEST_FLUSH_SECONDS = 60.0
"""How long the end waits for the agent to take the last batches."""


class Marker(msgspec.Struct, frozen=True):
    """Which recording a spool is being filled with."""

    recording: str
    """Folder, times, names and plan: whatever changes what is played."""
    spool_id: str
    first_sequence: int
    """The number of its first batch in this spool."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a recording has been played."""

    played_s: float
    total_s: float
    batches: int
    waiting: int
    done: bool = False

    def line(self) -> str:
        """As one line of JSON."""
        return json.dumps(
            {
                "played_s": round(self.played_s, 3),
                "total_s": round(self.total_s, 3),
                "batches": self.batches,
                "waiting": self.waiting,
                "done": self.done,
            }
        )


def run_recording(
    path: Path,
    settings: Settings,
    *,
    speed: float,
    stop: Stop,
    cluster: str | None = None,
    spool_directory: Path | None = None,
    tell: Callable[[Progress], None] = lambda _: None,
) -> bool:
    """Play a recording `speed` times as fast as it happened, 0 as fast as it goes. True if it was played to its end.

    Without `spool_directory` the spool is temporary; recordings of batches need none. Raises FixConfiguration;
    RetryLater if batches still wait at the end; GiveUp if the agent refused some for good.
    """
    endpoint = settings.endpoint()
    many = recording_of_batches(path)
    if many is not None:
        if cluster is not None and cluster != many.cluster:
            raise FixConfiguration(f"{path}: its batches are of cluster {many.cluster!r}; leave --cluster out")
        return _run_batches(many, endpoint, speed, stop, tell)
    recording = Recording(path, cluster)
    for problem in recording.problems:
        _LOG.warning("%s", problem)
    if spool_directory is not None:
        return _run(recording, settings, endpoint, spool_directory, speed, stop, tell)
    with tempfile.TemporaryDirectory(prefix="watchstander-") as temporary:
        return _run(recording, settings, endpoint, Path(temporary), speed, stop, tell)


def recording_of_batches(path: Path) -> BatchRecording | None:
    """The recording where it is a bundle or a folder of batches; None: one node's telemetry and logs."""
    try:
        if path.is_dir():
            return BatchRecording(path) if holds_batches(path) else None
        return Bundle(path) if path.exists() else None
    except OSError as error:
        raise FixConfiguration(f"{path}: cannot be read ({error.strerror}): mend its rights, or name another") from None


def _run_batches(
    recording: BatchRecording, endpoint: Endpoint, speed: float, stop: Stop, tell: Callable[[Progress], None]
) -> bool:
    total_s = (recording.end_ns - recording.start_ns) / 1e9
    next_telling, batches = 0.0, 0

    def told(received_ns: int, sent: int) -> None:
        nonlocal next_telling, batches
        batches = sent
        if time.monotonic() >= next_telling:
            next_telling = time.monotonic() + PROGRESS_SECONDS
            tell(Progress(min(total_s, max(0.0, (received_ns - recording.start_ns) / 1e9)), total_s, sent, 0))

    ended = play_batches(recording, endpoint, speed=speed, stop=stop, tell=told)
    for problem in recording.problems:
        _LOG.warning("%s", problem)
    if ended:
        tell(Progress(total_s, total_s, batches, 0, done=True))
    return ended


def _run(
    recording: Recording,
    settings: Settings,
    endpoint: Endpoint,
    directory: Path,
    speed: float,
    stop: Stop,
    tell: Callable[[Progress], None],
) -> bool:
    plan = settings.plan()
    delivery = Delivery.open(settings.spool, directory, endpoint, recording.identity)
    marker_file = directory / MARKER
    ended = False
    try:
        first = _begin(marker_file, _describe(recording, plan), delivery)
        ended = _play(recording, plan, delivery, first, speed, stop, tell)
    finally:
        outcome = delivery.finish(LONGEST_FLUSH_SECONDS if ended else settings.spool.flush_seconds)
    if ended and not outcome.waiting:
        marker_file.unlink(missing_ok=True)
    if outcome.refused:
        raise GiveUp(f"{recording.path}: the agent refused {outcome.refused} batches for good; its answers are above")
    if outcome.waiting and ended:
        raise RetryLater(
            f"{recording.path}: played, but {outcome.waiting} batches have not arrived at {endpoint}; run it again"
        )
    return ended


def _begin(marker_file: Path, described: str, delivery: Delivery) -> int:
    """How many batches of this recording the spool has had already."""
    spool = delivery.spool
    try:
        marker = msgspec.json.decode(marker_file.read_bytes(), type=Marker)
    except (OSError, ValueError):
        marker = None
    if marker is not None and (marker.recording, marker.spool_id) == (described, spool.spool_id):
        return spool.next_sequence - marker.first_sequence
    marker = Marker(described, spool.spool_id, spool.next_sequence)
    aside = marker_file.with_suffix(".tmp")
    try:
        aside.write_bytes(msgspec.json.encode(marker))
        aside.replace(marker_file)
    except OSError as error:
        _LOG.warning("%s: %s; if this run is cut short, the next one begins at the start", marker_file, error.strerror)
    return 0


def _describe(recording: Recording, plan: SamplingPlan) -> str:
    identity = recording.identity
    return f"{recording.path.resolve()} {recording.start_ns} {recording.end_ns} {identity.cluster} {plan}"


def _play(
    recording: Recording,
    plan: SamplingPlan,
    delivery: Delivery,
    first: int,
    speed: float,
    stop: Stop,
    tell: Callable[[Progress], None],
) -> bool:
    total_s = (recording.end_ns - recording.start_ns) / 1e9
    begun: tuple[float, int] | None = None  # monotonic seconds, and the recording's time then
    next_telling = 0.0
    number = 0
    played_s = 0.0
    for number, (received_ns, batch) in enumerate(play(recording, plan, goodbye=True), start=1):
        if stop.asked():
            return False
        if number <= first:
            continue
        if begun is None:
            begun = (time.monotonic(), received_ns)
        if speed > 0:
            _wait(begun[0] + (received_ns - begun[1]) / 1e9 / speed, stop)
        while delivery.spool.waiting_batches >= MOST_WAITING and not stop.asked():
            sleep_until(time.monotonic() + 0.05, stop)
        if stop.asked():
            return False
        delivery.hand_over(batch)
        played_s = min(total_s, (received_ns - recording.start_ns) / 1e9)
        if time.monotonic() >= next_telling:
            next_telling = time.monotonic() + PROGRESS_SECONDS
            tell(Progress(played_s, total_s, number, delivery.spool.waiting_batches))
    delivery.sender.flush(LONGEST_FLUSH_SECONDS)
    waiting = delivery.spool.waiting_batches
    tell(Progress(total_s, total_s, number, waiting, done=waiting == 0))
    return True


def _wait(monotonic_seconds: float, stop: Stop) -> None:
    sleep_until(monotonic_seconds, stop)
