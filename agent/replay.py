"""A recording through the whole watch, in this process, without a server: the same collector, detectors and policy.

A recording of batches (many nodes) has been through its collectors already, and so has a bundle (one file). Racks,
NVLink domains and pools come from `inventory.csv` where there is one; a bundle has what the cluster's API said as well.
"""

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from agent.inventory_csv import FILE, nodes_in, read_nodes
from agent.watch import GRID_NS, Changes, Watch
from collectors.errors import FixConfiguration
from collectors.model import Batch, Origin, SubjectFacts, SubjectKind
from collectors.recording.batches import BatchRecording
from collectors.recording.bundle import INVENTORY_JSON, Bundle
from collectors.recording.folder import Recording
from collectors.recording.play import play
from collectors.run_recording import recording_of_batches
from collectors.sampling.plan import SamplingPlan
from detectors.inventory.sources import Source
from detectors.model import Inventory
from policies.rules import Compiled

_LOG = logging.getLogger(__name__)
NATIVE_DEPTH = 40
"""Looks kept a GPU where every row of a 5 Hz recording is one: the window covers the same six seconds."""


def open_recording(path: Path) -> Recording | BatchRecording:
    """A folder by what it holds: one node's telemetry and logs, or the batches of many nodes; a file is a bundle."""
    return recording_of_batches(path) or Recording(path)


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
    tell_inventory(watch.engine.inventory, recording, now_ns)
    for now_ns, batch in batches_of(recording, plan=plan, native=native, until_ns=until_ns):
        yield now_ns, watch.advance(now_ns)
        watch.receive(batch, now_ns)
    # One half second more: what a node said with its last breath is looked at too.
    end_ns = max(recording.end_ns, now_ns) + GRID_NS + 1
    if until_ns is not None:
        end_ns = min(until_ns, end_ns)
    yield end_ns, watch.advance(end_ns)


def batches_of(
    recording: Recording | BatchRecording,
    *,
    plan: SamplingPlan | None = None,
    native: bool = False,
    until_ns: int | None = None,
) -> Iterator[tuple[int, Batch]]:
    """(received, batch), ascending in time, up to but not at `until_ns`, whatever kind of recording it is."""
    if not isinstance(recording, BatchRecording):
        return play(recording, plan or SamplingPlan(), native=native, until_ns=until_ns)
    if native:
        raise FixConfiguration(f"{recording.path}: holds batches, not rows: play it without --native")
    return recording.play(until_ns)


def tell_inventory(inventory: Inventory, recording: Recording | BatchRecording, now_ns: int) -> None:
    """What others than collectors know: from the files beside the batches."""
    if isinstance(recording, Bundle):
        for source, facts in _facts_of(recording).items():
            inventory.tell(source, [one for one in facts if one.subject.cluster == recording.cluster], now_ns)
        text = recording.small(FILE)
        where = recording.place_of(FILE)
        nodes = nodes_in(text.decode("utf-8", "replace"), where, _LOG.warning) if text is not None else {}
    else:
        nodes = read_nodes(recording.path, _LOG.warning)
    topology = {(SubjectKind.NODE, name): said for name, said in nodes.items() if said}
    if topology:
        inventory.tell_by_name(Source.CSV, topology, now_ns)


def _facts_of(bundle: Bundle) -> dict[Source, list[SubjectFacts]]:
    raw = bundle.small(INVENTORY_JSON)
    if raw is None:
        return {}
    try:
        return msgspec.json.decode(raw, type=dict[Source, list[SubjectFacts]])
    except (ValueError, RecursionError) as error:
        what = " ".join(str(error).split())[:200]
        raise FixConfiguration(f"{bundle.place_of(INVENTORY_JSON)}: cannot be used ({what})") from None
