"""The scenarios that ship."""

from agent.simulate.scenario import Benign, FaultSpec, JobSpec, Scenario

DAY_NODES, DAY_HOURS, DAY_FAULTS = 200, 2.0, 40


def day(nodes: int, hours: float) -> Scenario:
    """Jobs of 8 to 1,024 ranks, every benign rhythm, 40 faults of all kinds on 200 nodes (as many a node on others).

    Two hours by default: 40 faults on 200 nodes are what about a month brings at the published rates, packed so close
    that a job meets one about every half an hour. With `--hours 24` the same 40 lie apart.
    """
    faults = max(1, round(DAY_FAULTS * nodes / DAY_NODES))
    benign = Benign(rollouts=1, drains=max(1, nodes // 100), warm_rooms=2, preemptions=2, endings=2)
    return Scenario(name="day", nodes=nodes, hours=hours, random_faults=faults, benign=benign)


def quiet(nodes: int, hours: float) -> Scenario:
    """The same without a fault."""
    benign = Benign(rollouts=1, drains=max(1, nodes // 100), warm_rooms=2, preemptions=2, endings=2)
    return Scenario(name="quiet", nodes=nodes, hours=hours, benign=benign)


def wave(nodes: int, hours: float) -> Scenario:
    """A rack loses its cooling: its cards throttle one after the other, whatever job they work for. One cause."""
    second = "rack-01" if nodes > 8 else "rack-00"
    fault = FaultSpec(kind="rack_cooling", at=min(300.0, hours * 1200), rack=second)
    return Scenario(name="wave", nodes=nodes, hours=hours, faults=(fault,), benign=Benign(warm_rooms=1))


def cascade(nodes: int, hours: float) -> Scenario:
    """One cause with a long tail: Xid 79, the others wait, the time-out 10 minutes later, the crash, a restart on the
    same card, a second crash, and at last a start elsewhere."""
    ranks = 8 * max(1, min(4, nodes - 1))
    job = JobSpec(name="llm", ranks=ranks, timeout_seconds=600, restart_seconds=60, launcher=True, log="torchtitan")
    fault = FaultSpec(kind="gpu_lost", at=180.0, job="llm", rank=ranks - 3, crashes_again=True)
    return Scenario(name="cascade", nodes=nodes, hours=hours, jobs=(job,), faults=(fault,))


BUILT_IN = {"day": day, "quiet": quiet, "wave": wave, "cascade": cascade}
DEFAULTS = {"day": (DAY_NODES, DAY_HOURS), "quiet": (DAY_NODES, DAY_HOURS), "wave": (40, 0.35), "cascade": (6, 0.5)}
"""Nodes and hours where the command line names none."""
