"""What has been taken in already, so that a batch sent twice is acknowledged twice and counted once.

A collector numbers its batches; (origin, node, boot id, spool id) names one run of numbers. Batches may come in any
order, with gaps that never fill (what a collector put into quarantine), so a run is a set of half-open ranges.
"""

from bisect import bisect_right
from collections import OrderedDict

import msgspec

from collectors.model import Batch

Run = tuple[str, str, str, str, str]
"""Origin, cluster, node id, boot id, spool id."""


def run_of(batch: Batch) -> Run:
    """The run of numbers that a batch belongs to."""
    return (batch.origin.value, batch.node.cluster, batch.node.id, batch.boot_id, batch.spool_id)


class Seen:
    """The sequence numbers seen, per run. Memory is bounded: forgotten first is what was longest ago.

    A forgotten number would be taken in a second time. With the default bounds that needs 256 gaps above it in its own
    run, or 65,536 runs newer than its own, before the repeat comes.

    >>> seen = Seen()
    >>> run = ("live", "prod", "node-1", "boot-1", "spool-1")
    >>> seen.add(run, 7), seen.add(run, 5), seen.add(run, 7)
    (True, True, False)
    """

    def __init__(self, *, runs: int = 65_536, gaps: int = 256) -> None:
        self._most_runs = runs
        self._most_bounds = 2 * gaps
        self._bounds: OrderedDict[Run, list[int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._bounds)

    def __contains__(self, key: tuple[Run, int]) -> bool:
        run, sequence = key
        bounds = self._bounds.get(run)
        # In a sorted list begin, end, begin, end ... an odd number of bounds at or below a number means inside.
        return bounds is not None and bisect_right(bounds, sequence) % 2 == 1

    def add(self, run: Run, sequence: int) -> bool:
        """Note a number; False where it was there already."""
        bounds = self._bounds.get(run)
        if bounds is None:
            self._bounds[run] = [sequence, sequence + 1]
            if len(self._bounds) > self._most_runs:
                self._bounds.popitem(last=False)
            return True
        self._bounds.move_to_end(run)
        at = bisect_right(bounds, sequence)
        if at % 2 == 1:
            return False
        joins_left = at > 0 and bounds[at - 1] == sequence
        joins_right = at < len(bounds) and bounds[at] == sequence + 1
        if joins_left and joins_right:
            del bounds[at - 1 : at + 1]
        elif joins_left:
            bounds[at - 1] = sequence + 1
        elif joins_right:
            bounds[at] = sequence
        else:
            bounds[at:at] = [sequence, sequence + 1]
            if len(bounds) > self._most_bounds:
                del bounds[:2]
        return True

    def dump(self) -> bytes:
        """Everything seen, as msgpack, for the checkpoint."""
        return msgspec.msgpack.encode(list(self._bounds.items()))

    def load(self, dumped: bytes) -> None:
        """Take up what `dump` gave; raises msgspec.DecodeError where it is something else."""
        runs = msgspec.msgpack.decode(dumped, type=list[tuple[Run, list[int]]])
        for run, bounds in runs[-self._most_runs :]:
            self._bounds[run] = bounds
