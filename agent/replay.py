"""A recording through the whole watch, in this process, without a server: the same collector, detectors and policy."""

from collections.abc import Iterable, Iterator

from agent.watch import Changes, Watch
from collectors.model import Origin
from collectors.recording.folder import Recording
from collectors.recording.play import play
from collectors.sampling.plan import SamplingPlan
from policies.rules import Compiled

NATIVE_DEPTH = 40
"""Looks kept a GPU where every row of a 5 Hz recording is one: the window covers the same six seconds."""


def replay(
    recording: Recording,
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
    watch = Watch(Origin.REPLAY, recording.identity.cluster, rules=rules, depth=depth)
    now_ns = recording.start_ns
    for now_ns, batch in play(recording, plan or SamplingPlan(), native=native, until_ns=until_ns):
        yield now_ns, watch.advance(now_ns)
        watch.receive(batch, now_ns)
    end_ns = recording.end_ns if until_ns is None else min(until_ns, recording.end_ns)
    yield end_ns, watch.advance(max(end_ns, now_ns) + 1)
