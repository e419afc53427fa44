"""`restart_job`: the whole gang anew, by the controller that owns it (P2). One module of `jobs/` a kind of job."""

from collections.abc import Callable
from functools import partial

from collectors.errors import GiveUp
from policies.cluster.jobs import leader_worker_set, suspend, unproven
from policies.cluster.jobs.batch_job import BATCH_JOB
from policies.cluster.jobs.gang import Gang
from policies.cluster.jobs.jobset import JOBSET
from policies.cluster.jobs.train_job import TRAIN_JOB
from policies.cluster.look import Look
from policies.journal import Progress
from policies.plan import Target

Turn = Callable[[Look], Progress]

PROVEN: tuple[Gang, ...] = (BATCH_JOB, JOBSET, TRAIN_JOB)
UNPROVEN: dict[str, Gang] = {gang.kind: gang for gang in (*unproven.OPERATOR_JOBS, unproven.RAY_JOB)}


def _of_gang(gang: Gang) -> tuple[Turn, Turn]:
    return partial(suspend.advance, gang=gang), partial(suspend.verify, gang=gang)


def _key(api_version: str, kind: str) -> tuple[str, str]:
    """Group and kind: versions come and go."""
    return api_version.rpartition("/")[0], kind


TURNS: dict[tuple[str, str], tuple[Turn, Turn]] = {
    **{_key(gang.api_version, gang.kind): _of_gang(gang) for gang in PROVEN},
    _key(leader_worker_set.API_VERSION, leader_worker_set.KIND): (leader_worker_set.advance, leader_worker_set.verify),
}
"""Group and kind -> how it is advanced and verified, with running controllers in the tests."""
UNPROVEN_TURNS: dict[tuple[str, str], tuple[str, Turn, Turn]] = {
    **{_key(gang.api_version, gang.kind): (name, *_of_gang(gang)) for name, gang in UNPROVEN.items()},
    _key(unproven.VOLCANO_API, "Job"): (unproven.VOLCANO, unproven.advance_volcano, unproven.verify_volcano),
}
"""The same, with the name by which an operator switches it on."""


def advance(look: Look) -> Progress:
    """Let the target's controller restart it. GiveUp for a kind that nobody has taught us, or that is switched off."""
    return _turns(look)[0](look)


def verify(look: Look) -> Progress:
    """Whether the gang runs again."""
    return _turns(look)[1](look)


def can_restart(target: Target, switched_on: tuple[str, ...] = ()) -> str:
    """Why a job of this kind cannot be restarted, as one line; empty: it can. For who makes plans."""
    key = _key(target.api_version, target.kind)
    if key in TURNS:
        return ""
    if key not in UNPROVEN_TURNS:
        known = ", ".join(sorted(kind for _, kind in TURNS))
        return f"{target.kind} of {target.api_version}: no way to restart such a job is known (known: {known})"
    name = UNPROVEN_TURNS[key][0]
    if name not in switched_on:
        return (
            f"{target.kind} of {target.api_version}: restarting it follows its contract and was not tried with a "
            f"running controller; switch it on by adding {name} to `unproven`"
        )
    return ""


def _turns(look: Look) -> tuple[Turn, Turn]:
    target = look.step.target
    if reason := can_restart(target, look.settings.unproven):
        raise GiveUp(f"{target}: {reason}")
    key = _key(target.api_version, target.kind)
    return TURNS[key] if key in TURNS else UNPROVEN_TURNS[key][1:]


def plural_of(target: Target) -> str:
    """Of a job's kind, for its path. GiveUp for one that is not known."""
    key = _key(target.api_version, target.kind)
    known = {_key(gang.api_version, gang.kind): gang.plural for gang in (*PROVEN, *UNPROVEN.values())}
    known[_key(leader_worker_set.API_VERSION, leader_worker_set.KIND)] = leader_worker_set.PLURAL
    known[_key(unproven.VOLCANO_API, "Job")] = unproven.VOLCANO_PLURAL
    if key not in known:
        raise GiveUp(f"{target}: {target.kind} of {target.api_version} is no kind of job that is known")
    return known[key]
