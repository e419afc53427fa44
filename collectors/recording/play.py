"""Plays a recording through the collector on a virtual clock."""

from collections.abc import Iterator
from heapq import merge

from collectors.collector import STEP_SECONDS, Collector
from collectors.model import Batch
from collectors.recording.folder import Recording
from collectors.sampling.plan import SamplingPlan

_STEP_NS = int(STEP_SECONDS * 1e9)
_EVERYTHING = SamplingPlan(cheap_seconds=0, middle_seconds=0, dear_seconds=0, batch_seconds=0, events_seconds=0)


def play(
    recording: Recording,
    plan: SamplingPlan,
    *,
    native: bool = False,
    until_ns: int | None = None,
    goodbye: bool = False,
) -> Iterator[tuple[int, Batch]]:
    """Yield (received, batch) in the order in which a live collector would have sent them; received = the step's time.

    Causal: a batch yielded for a time T rests on nothing later than T, and the recording's end flushes nothing early.
    So a recording that was cut at T plays exactly as the whole one did before T. The last step is the first one not
    before the last datum; with `until_ns`, the last before that instant.

    `native` takes every row of the telemetry as a look and sends it at once, whatever the plan says: for study, not for
    judging what a real node would have seen. `goodbye` ends with a collector's farewell, as at an orderly stop.
    """
    collector = Collector(
        recording.identity, [recording.gpus()], recording.log_sources(), _EVERYTHING if native else plan
    )
    now_ns = recording.start_ns
    for now_ns in _times(recording, native=native):
        if until_ns is not None and now_ns >= until_ns:
            break
        for batch in collector.step(now_ns):
            yield now_ns, batch
    if goodbye:
        yield now_ns, collector.goodbye(now_ns)


def _times(recording: Recording, *, native: bool) -> Iterator[int]:
    beat = range(recording.start_ns, recording.end_ns + _STEP_NS, _STEP_NS)
    if not native or recording.telemetry is None:
        yield from beat
        return
    last = -1
    for now_ns in merge(beat, _sweeps(recording)):
        if now_ns > last:
            last = now_ns
            yield now_ns


def _sweeps(recording: Recording) -> Iterator[int]:
    """The time of the last row of each round over the GPUs: a round ends where a GPU comes again."""
    if recording.telemetry is None:
        return
    rows = merge(*([(time, index) for time in rows.times_ns] for index, rows in recording.telemetry.gpus.items()))
    seen: set[int] = set()
    last = -1
    for time, index in rows:
        if index in seen:
            yield last
            seen.clear()
        seen.add(index)
        last = time
    if seen:
        yield last
