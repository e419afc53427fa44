"""A scenario played out: jobs laid over nodes, faults and benign things set going, batches written as they leave."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from agent.simulate import parameters as p
from agent.simulate.benign import begin_benign
from agent.simulate.cards import NS
from agent.simulate.fault_kinds import KINDS
from agent.simulate.faults import Fault, Faults
from agent.simulate.fleet import Fleet
from agent.simulate.job import Job
from agent.simulate.job_plan import JobPlan
from agent.simulate.parallel import Parallel
from agent.simulate.placement import fill, spread_faults
from agent.simulate.scenario import JobSpec, Scenario
from agent.simulate.truth import Truth
from agent.simulate.world import GROUPS, World
from collectors.errors import FixConfiguration
from collectors.recording.batches import FILE, BatchWriter
from collectors.wire import encode

START_UNIX = 1_795_392_000
"""2026-11-23 00:00:00 UTC: simulations begin at one time, so that the same seed gives the same bytes."""
NETWORK_SECONDS = (0.002, 0.04)
"""From a collector to the agent; a choice."""


@dataclass(frozen=True, slots=True)
class Simulated:
    """What was written."""

    nodes: int
    gpus: int
    jobs: int
    seconds: float
    batches: int
    bytes: int
    faults: int


def simulate(
    scenario: Scenario, seed: int, out: Path, tell: Callable[[float], None] = lambda _share: None
) -> Simulated:
    """Write a recording of the scenario into an empty or new folder; the same scenario and seed give the same bytes.

    `tell` hears the share that is done. Raises FixConfiguration where the folder is in use or cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()):
            raise FixConfiguration(f"{out}: is not empty; name a new folder")
    except OSError as error:
        raise FixConfiguration(f"{out}: cannot be written ({error.strerror}); name another folder") from None
    rng = np.random.default_rng(seed)
    seconds = scenario.hours * 3600
    start_ns = START_UNIX * NS
    end_ns = start_ns + int(seconds * NS)
    cluster = f"sim-{scenario.name}"
    fleet = Fleet.build(cluster, scenario.nodes, scenario.gpus_per_node, scenario.nodes_per_rack, rng)
    world = World(fleet, start_ns, end_ns, rng, out)
    truth = Truth()
    try:
        _set_going(scenario, world, truth)
        _about(out, scenario, cluster, seed, start_ns, end_ns)
        # the collectors start one after the other within five seconds, so that batches do not leave in step
        for node in range(scenario.nodes):
            beat = int(rng.integers(5)) * GROUPS + node % GROUPS
            world.at(start_ns + beat * NS // GROUPS, lambda node=node: world.start_collector(node))  # type: ignore[misc]
        network = np.random.default_rng(rng.integers(2**63))
        quarters = int(seconds * GROUPS)
        with BatchWriter(out) as writer:
            for number in range(quarters):
                leaving = world.step(number)
                delays = network.uniform(*NETWORK_SECONDS, len(leaving))
                sent = [(batch.sent_ns + int(d * NS), node, batch) for (node, batch), d in zip(leaving, delays)]
                for received_ns, _, batch in sorted(sent, key=lambda one: one[:2]):
                    writer.write(received_ns, encode(batch))
                if number == 0:
                    fleet.write_inventory(out / "inventory.csv")
                if number % 240 == 0:
                    tell(number / quarters)
            batches = writer.batches
    finally:
        world.close()
    truth.write(out / "truth.json", {"scenario": scenario.name, "seed": seed, "t0": START_UNIX}, end_ns)
    faults = sum(phase.kind == "fault" for phase in truth.phases)
    names = {phase.job for phase in truth.phases} | {job.name for job in scenario.jobs}
    return Simulated(
        scenario.nodes,
        scenario.nodes * scenario.gpus_per_node,
        len(world.jobs) or len(names),
        seconds,
        batches,
        (out / FILE).stat().st_size,
        faults,
    )


def _set_going(scenario: Scenario, world: World, truth: Truth) -> None:
    specs = scenario.jobs or fill(scenario.nodes, scenario.gpus_per_node)
    jobs: list[Job] = []
    free = list(range(scenario.nodes))
    for spec in specs:
        need = -(-spec.ranks // scenario.gpus_per_node)
        nodes, free = free[:need], free[need:]
        job = Job(world, plan_of(spec, world), nodes)
        jobs.append(job)
        starts_ns = world.start_ns + int(spec.starts_at * NS)
        world.at(starts_ns, job.start)
        if spec.ends_at:
            world.at(world.start_ns + int(spec.ends_at * NS), _finisher(world, job))
    faults = Faults(world, truth, jobs, free, KINDS)
    by_name = {job.plan.name: job for job in jobs}
    for said in scenario.faults:
        about = by_name.get(said.job)
        if about is None and said.kind != "rack_cooling":
            about = jobs[int(world.rng.integers(len(jobs)))]
        faults.begin(
            Fault(
                said.kind,
                world.start_ns + int(said.at * NS),
                about,
                said.rank,
                said.node,
                said.gpu,
                said.rack,
                said.lasts,
                said.severity,
                said.everywhere,
                said.crashes_again,
            )
        )
    if scenario.random_faults:
        for fault in spread_faults(world, jobs, scenario.random_faults, scenario.kinds):
            faults.begin(fault)
    begin_benign(scenario.benign, world, truth, jobs, faults.spares)


def _finisher(world: World, job: Job) -> Callable[[], None]:
    def finish() -> None:
        if job.phase == "running":
            job.finish()
        elif not job.ended:
            world.after(2.0, finish)

    return finish


def plan_of(spec: JobSpec, world: World) -> JobPlan:
    """A job's plan: what the scenario says, the rest drawn."""
    rng, times = world.rng, p.JOB_TIMES
    step = spec.step_seconds or min(
        world.log_uniform(times.step_seconds) * max(1.0, spec.ranks / 8) ** times.step_growth, times.most_step_seconds
    )
    tensor = spec.tensor or _fits(spec.ranks, [1, 2, 4, 8][int(rng.integers(4))] if spec.ranks >= 16 else 1)
    pipeline = spec.pipeline or _fits(spec.ranks // tensor, [1, 2, 4][int(rng.integers(3))] if spec.ranks >= 64 else 1)
    below = rng.random() < p.BELOW_CAP_SHARE
    watts = spec.watts or (world.uniform(p.BELOW_CAP_WATTS) if below else p.WORK.watts)
    log = spec.log or ("hugging_face" if spec.ranks <= 16 and rng.random() < 0.5 else "")
    return JobPlan(
        name=spec.name,
        parallel=Parallel(spec.ranks, tensor, pipeline),
        log=log or ("torchtitan", "megatron")[int(rng.integers(2))],
        log_every=spec.log_every or int(rng.choice([1, 1, 2, 10] if step < 1 else [1])),
        step_seconds=step,
        watts=watts,
        held_bytes=(spec.held_gib or world.log_uniform(p.HELD_GIB)) * p.GIB,
        start_seconds=spec.start_seconds or world.uniform(times.start_seconds),
        first_step_seconds=world.uniform(times.first_step_seconds),
        save_every_seconds=spec.save_every_seconds or world.log_uniform(times.save_every_seconds),
        save_seconds=spec.save_seconds or world.log_uniform(times.save_seconds),
        sharded_save=bool(rng.random() < 0.5),
        evaluation_every_seconds=spec.evaluation_every_seconds or world.log_uniform(times.evaluation_every_seconds),
        evaluation_seconds=spec.evaluation_seconds or world.log_uniform(times.evaluation_seconds),
        timeout_seconds=spec.timeout_seconds or float(rng.choice(times.timeout_seconds)),
        restart_seconds=spec.restart_seconds or world.log_uniform(times.restart_seconds),
        launcher=bool(rng.random() < 0.7) if spec.launcher is None else spec.launcher,
    )


def _fits(ranks: int, wanted: int) -> int:
    while ranks % wanted:
        wanted //= 2
    return wanted


def _about(out: Path, scenario: Scenario, cluster: str, seed: int, start_ns: int, end_ns: int) -> None:
    meta = {
        "cluster": cluster,
        "start_unix": start_ns / NS,
        "end_unix": end_ns / NS,
        "simulated": True,
        "seed": seed,
        "scenario": msgspec.to_builtins(scenario),
    }
    (out / "meta.json").write_text(json.dumps(meta, indent=1) + "\n", encoding="utf-8")
