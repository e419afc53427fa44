"""What is to be simulated: the shape of a scenario, read from YAML or one of those that ship."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
import yaml

from agent.simulate.fault_kinds import KINDS
from agent.simulate.log_lines import FORMATS
from collectors.errors import FixConfiguration

MOST_NODES = 20_000
Positive = Annotated[float, msgspec.Meta(gt=0)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=31 * 86_400)]
Count = Annotated[int, msgspec.Meta(ge=0, le=100_000)]
Name = Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]


class JobSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One job; what is left out is drawn (agent/simulate/parameters.py)."""

    name: Name
    ranks: Annotated[int, msgspec.Meta(ge=1, le=65_536)]
    tensor: Annotated[int, msgspec.Meta(ge=1, le=64)] = 0
    """Size of a tensor-parallel group; drawn where left out."""
    pipeline: Annotated[int, msgspec.Meta(ge=1, le=64)] = 0
    log: Literal["torchtitan", "megatron", "hugging_face", ""] = ""
    log_every: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 0
    """Steps between two lines."""
    step_seconds: Annotated[float, msgspec.Meta(ge=0, le=600)] = 0
    watts: Annotated[float, msgspec.Meta(ge=0, le=700)] = 0
    """Of a working card; below 690 it is not at its cap."""
    held_gib: Annotated[float, msgspec.Meta(ge=0, le=130)] = 0
    save_every_seconds: Seconds = 0
    save_seconds: Seconds = 0
    evaluation_every_seconds: Seconds = 0
    evaluation_seconds: Seconds = 0
    start_seconds: Seconds = 0
    timeout_seconds: Seconds = 0
    restart_seconds: Seconds = 0
    launcher: bool | None = None
    starts_at: Seconds = 0
    ends_at: Seconds = 0
    """0: it does not end."""


class FaultSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One fault; what is left out is drawn."""

    kind: str
    at: Seconds
    """After the start of the simulation; it begins as soon after as its job has settled."""
    lasts: Seconds = 0
    job: str = ""
    rank: Annotated[int, msgspec.Meta(ge=-1)] = -1
    node: Annotated[int, msgspec.Meta(ge=-1)] = -1
    gpu: Annotated[int, msgspec.Meta(ge=-1)] = -1
    rack: str = ""
    severity: Annotated[float, msgspec.Meta(ge=0)] = 0
    everywhere: bool = False
    crashes_again: bool | None = None


class Benign(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What happens in a healthy cluster besides saves and evaluations; numbers of times in the whole simulation."""

    rollouts: Count = 0
    """The collector is rolled over all nodes: a goodbye, some seconds of silence, a new process."""
    drains: Count = 0
    """An idle node says goodbye and reboots."""
    warm_rooms: Count = 0
    """A rack is warmer by a few degrees for half an hour."""
    preemptions: Count = 0
    """A job's owner takes it down and brings it back."""
    endings: Count = 0
    """A job of one node ends in order, and another starts on its node."""


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A whole scenario."""

    name: Name
    nodes: Annotated[int, msgspec.Meta(ge=1, le=MOST_NODES)]
    hours: Annotated[float, msgspec.Meta(gt=0, le=24 * 31)]
    gpus_per_node: Annotated[int, msgspec.Meta(ge=1, le=16)] = 8
    nodes_per_rack: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 8
    jobs: tuple[JobSpec, ...] = ()
    """None: the nodes are filled with jobs of all sizes."""
    faults: tuple[FaultSpec, ...] = ()
    random_faults: Count = 0
    """So many more, of kinds, places and times that are drawn."""
    kinds: tuple[str, ...] = ()
    """Kinds that `random_faults` draws from; all where left out."""
    benign: Benign = Benign()


def read_scenario(path: Path) -> Scenario:
    """A scenario file. Raises FixConfiguration: path, key, what is wrong, in one line."""
    try:
        said = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FixConfiguration(f"{path}: cannot be read ({error.strerror}); name a scenario or its file") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise FixConfiguration(f"{path}: is no YAML: {' '.join(str(error).split())[:200]}") from None
    try:
        scenario = msgspec.convert(said, Scenario)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `")
        key = where.rstrip("`").removeprefix("$.") or "top"
        raise FixConfiguration(f"{path}: {key}: {what}") from None
    return checked(scenario, str(path))


def checked(scenario: Scenario, source: str) -> Scenario:
    """What a type cannot say. Raises FixConfiguration in the same form."""

    def wrong(key: str, what: str) -> FixConfiguration:
        return FixConfiguration(f"{source}: {key}: {what}")

    names = [job.name for job in scenario.jobs]
    room = scenario.nodes
    for i, job in enumerate(scenario.jobs):
        if job.name in names[:i]:
            raise wrong(f"jobs[{i}].name", f"{job.name} is there twice; give another name")
        if job.ranks % ((job.tensor or 1) * (job.pipeline or 1)):
            raise wrong(f"jobs[{i}].ranks", f"{job.ranks} is no multiple of tensor x pipeline")
        if job.log and job.log not in FORMATS:
            raise wrong(f"jobs[{i}].log", f"use one of {', '.join(FORMATS)}")
        room -= -(-job.ranks // scenario.gpus_per_node)
    if room < 0:
        raise wrong("jobs", f"they need {-room} nodes more than there are; raise nodes or remove jobs")
    racks = -(-scenario.nodes // scenario.nodes_per_rack)
    for i, fault in enumerate(scenario.faults):
        if fault.kind not in KINDS:
            raise wrong(f"faults[{i}].kind", f"{fault.kind!r} is none; use one of {', '.join(sorted(KINDS))}")
        if fault.kind == "rack_cooling":
            if fault.rack not in {f"rack-{r:02d}" for r in range(racks)}:
                raise wrong(f"faults[{i}].rack", f"name one of rack-00 to rack-{racks - 1:02d}")
        elif scenario.jobs and fault.job not in names:
            raise wrong(f"faults[{i}].job", f"{fault.job!r} is none of the jobs; name one of {', '.join(names)}")
        if fault.node >= scenario.nodes or fault.gpu >= scenario.gpus_per_node:
            raise wrong(f"faults[{i}].node", "there is no such node or card")
        if fault.at >= scenario.hours * 3600:
            raise wrong(f"faults[{i}].at", f"lies behind the end at {scenario.hours * 3600:.0f} s")
    for i, kind in enumerate(scenario.kinds):
        if kind not in KINDS or kind == "rack_cooling":
            raise wrong(f"kinds[{i}]", f"{kind!r} is none that can be drawn; see `random_faults` in docs/simulator.md")
    return scenario
