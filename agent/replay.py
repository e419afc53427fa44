"""A recording through the whole watch, in this process, without a server: the same collector, detectors and policy.

A recording of batches (many nodes) has been through its collectors already. Racks, NVLink domains and pools come from
`inventory.csv` where the folder has one.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from agent.inventory_csv import read_nodes
from agent.watch import Changes, Watch
from collectors.errors import FixConfiguration
from collectors.model import Origin, SubjectKind
from collectors.recording.batches import BatchRecording, holds_batches
from collectors.recording.folder import Recording
from collectors.recording.play import play
from collectors.sampling.plan import SamplingPlan
from detectors.inventory.sources import Source
from policies.rules import Compiled

NATIVE_DEPTH = 40
"""Looks kept a GPU where every row of a 5 Hz recording is one: the window covers the same six seconds."""


def open_recording(path: Path) -> Recording | BatchRecording:
    """A folder by what it holds: one node's telemetry and logs, or the batches of many nodes."""
    return BatchRecording(path) if holds_batches(path) else Recording(path)


def replay(
    recording: Recording | BatchRecording,
    *,
    plan: SamplingPlan | None = None,
    native: bool = False,
    until_ns: int | None = None,
    rules: Iterable[Compiled] | None = None,
) -> Iterator[tuple[int, Changes]]:
    """Yield (now, changes) in order of time, also where nothing changed; `now` is the recording's own clock, Unix ns.

    `until_ns` cuts the replay off: what it yields is what the whole replay yields before that instant.
    """
    depth = NATIVE_DEPTH if native else 10
    watch = Watch(Origin.REPLAY, recording.cluster, rules=rules, depth=depth)
    now_ns = recording.start_ns
    topology = {(SubjectKind.NODE, name): said for name, said in read_nodes(recording.path).items() if said}
    if topology:
        watch.engine.inventory.tell_by_name(Source.CSV, topology, now_ns)
    if isinstance(recording, BatchRecording):
        if native:
            raise FixConfiguration(f"{recording.path}: holds batches, not rows: play it without --native")
        batches = recording.play(until_ns)
    else:
        batches = play(recording, plan or SamplingPlan(), native=native, until_ns=until_ns)
    for now_ns, batch in batches:
        yield now_ns, watch.advance(now_ns)
        watch.receive(batch, now_ns)
    end_ns = max(recording.end_ns, now_ns) + 1
    if until_ns is not None:
        end_ns = min(until_ns, end_ns)
    yield end_ns, watch.advance(end_ns)
