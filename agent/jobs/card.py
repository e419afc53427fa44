"""The job card: why did my run die, what did it cost, may I restart, from where, without whom?

Made from the store's rows alone, so that page, command line and API say the same, and the same twice.
"""

from collections.abc import Sequence

import msgspec

from agent.api.words import duration, utc
from agent.jobs.controller import restarting
from agent.jobs.exclude import exclude_snippet
from agent.jobs.record import AttemptRecord, AttemptState, Checkpoint, SaveState
from agent.jobs.verdict import Blame, Verdict, judge, words_of
from collectors.model import Origin
from detectors.goodput import Cause

NS = 10**9
HOUR_NS = 3600 * NS
REGRESSION = 0.05
"""A step time that differs by less from the run before is called the same: healthy runs differ by 2 to 3 %."""
MOST_ATTEMPTS = 50


class CheckpointLine(msgspec.Struct, frozen=True):
    """A checkpoint."""

    step: int | None
    state: SaveState
    started_ns: int | None
    ended_ns: int | None
    path: str

    @classmethod
    def of(cls, save: Checkpoint) -> "CheckpointLine":
        """From the record."""
        return cls(save.step, save.state, save.started_ns, save.ended_ns, save.path)


class FaultLine(msgspec.Struct, frozen=True):
    """The first fault in causal order."""

    incident: str
    kind: str
    title: str
    node: str
    gpu: str
    rank: str
    since_ns: int
    words: str


class AttemptLine(msgspec.Struct, frozen=True):
    """One attempt in a row."""

    number: int
    job: str
    state: AttemptState
    began_because: str
    started_ns: int
    ended_ns: int | None
    as_of_ns: int
    gpus: int | None
    first_step: int | None
    last_step: int | None
    goodput: float | None
    fault: str
    """In words; empty where none is known."""
    incident: str


class CauseLine(msgspec.Struct, frozen=True):
    """Where time went."""

    cause: Cause
    share: float
    """Of the GPU time where the GPUs are known, else of the wall time; 0 to 1."""
    wall_seconds: float
    gpu_hours: float | None


class SuspectLine(msgspec.Struct, frozen=True):
    """A node to run without."""

    node: str
    certain: bool
    because: str


class JobCard(msgspec.Struct, frozen=True):
    """Everything about one job. Sentences are made by rules; log text in names and paths is hostile."""

    cluster: str
    id: str
    name: str
    origin: Origin
    state: AttemptState
    as_of_ns: int
    answers: list[str]
    """Why it died, what it cost, whether to restart, from where, without whom: five sentences."""
    attempt: int
    """The attempt that the answers are about."""
    fault: FaultLine | None
    ranks: str
    """`317 first, 511 followed`; empty where nobody said."""
    checkpoint: CheckpointLine | None
    """The last good one."""
    torn: CheckpointLine | None
    """A later one whose save was not finished."""
    steps_lost: int | None
    lost_gpu_hours: float | None
    """Of the death: from the fault to the next step, and the steps to be made again."""
    lost_money: float | None
    currency: str
    blame: Blame
    blame_because: str
    settled_by: str
    same_cause_as_before: bool | None
    suspects: list[SuspectLine]
    exclude: str
    """YAML, ready to paste."""
    restarting: str
    goodput: float | None
    time_share: float
    throughput_share: float | None
    account: list[CauseLine]
    """Of all attempts together; adds up to the whole."""
    total_wall_seconds: float
    total_gpu_hours: float | None
    gpus: int | None
    nodes: list[str]
    pace_seconds: float | None
    """The job's own best step time."""
    regression: str
    revised: str
    notes: list[str]
    attempts: list[AttemptLine]
    """Newest first."""


def cards_of(attempts: Sequence[AttemptRecord], *, gpu_hour: float, currency: str) -> list[JobCard]:
    """One card for each job among the attempts, the one begun last first."""
    by_job: dict[tuple[Origin, str, str], list[AttemptRecord]] = {}
    for attempt in attempts:
        by_job.setdefault((attempt.origin, attempt.cluster, attempt.job), []).append(attempt)
    runs = [sorted(run, key=lambda a: -a.number) for run in by_job.values()]
    runs.sort(key=lambda run: (-run[0].started_ns, run[0].cluster, run[0].job))
    return [card_of(run, _runs_before(run, runs), gpu_hour=gpu_hour, currency=currency) for run in runs]


def card_of(
    run: Sequence[AttemptRecord], earlier: Sequence[AttemptRecord], *, gpu_hour: float, currency: str
) -> JobCard:
    """`run`: the attempts of one job, newest first, at least one; `earlier`: of earlier runs of its name."""
    newest = run[0]
    died = next((attempt for attempt in run if attempt.state is AttemptState.FAILED), None)
    about = died or newest
    after = next((attempt for attempt in reversed(run) if attempt.number > about.number), None)
    before = [attempt for attempt in (*run, *earlier) if attempt.started_ns < about.started_ns]
    verdict = judge(about, before) if died else Verdict(Blame.UNKNOWN, "it has not died", "", None, ())
    good, torn = _saves(about, after)
    steps_lost = _steps_lost(about, after, good) if died else None
    lost_ns = _lost_gpu_ns(about, after, steps_lost) if died else None
    lost_hours = None if lost_ns is None else lost_ns / HOUR_NS
    money = None if lost_hours is None or gpu_hour <= 0 else lost_hours * gpu_hour
    ranks = _ranks(about) if died else ""
    account = newest.account.copy()
    for attempt in run[1:]:
        account.add(attempt.account)
    total_gpu_ns = account.total_gpu_ns
    fault = about.fault if died else None
    return JobCard(
        cluster=newest.cluster,
        id=newest.job,
        name=newest.name,
        origin=newest.origin,
        state=newest.state,
        as_of_ns=newest.as_of_ns,
        answers=[
            _why(about, newest, ranks),
            _cost(died, steps_lost, lost_ns, money, currency),
            _may_restart(died, after, verdict),
            _from_where(about, after, good, torn),
            _without_whom(died, verdict),
        ],
        attempt=about.number,
        fault=None
        if fault is None
        else FaultLine(
            fault.incident,
            fault.kind.value,
            fault.title,
            fault.names.get("node", ""),
            fault.names.get("gpu", ""),
            fault.names.get("rank", ""),
            fault.since_ns,
            words_of(fault),
        ),
        ranks=ranks,
        checkpoint=CheckpointLine.of(good) if good else None,
        torn=CheckpointLine.of(torn) if torn else None,
        steps_lost=steps_lost,
        lost_gpu_hours=lost_hours,
        lost_money=money,
        currency=currency,
        blame=verdict.blame,
        blame_because=verdict.because,
        settled_by=verdict.settled_by,
        same_cause_as_before=verdict.same_as_before,
        suspects=[SuspectLine(s.node, s.certain, s.because) for s in verdict.suspects],
        exclude=exclude_snippet(s.node for s in verdict.suspects),
        restarting=restarting(died, after),
        goodput=account.goodput(newest.pace_ns),
        time_share=account.share(Cause.PRODUCTIVE),
        throughput_share=account.throughput_share(newest.pace_ns),
        account=[
            CauseLine(
                cause,
                account.share(cause),
                account.wall_ns[cause] / NS,
                account.gpu_ns.get(cause, 0) / HOUR_NS if total_gpu_ns else None,
            )
            for cause in Cause
            if account.wall_ns.get(cause)
        ],
        total_wall_seconds=account.total_wall_ns / NS,
        total_gpu_hours=total_gpu_ns / HOUR_NS if total_gpu_ns else None,
        gpus=newest.gpus,
        nodes=[node.name for node in newest.nodes],
        pace_seconds=None if newest.pace_ns is None else newest.pace_ns / NS,
        regression=_regression(newest, earlier),
        revised=_revised(newest),
        notes=[note for attempt in run for note in attempt.notes][:8],
        attempts=[_line(attempt) for attempt in run[:MOST_ATTEMPTS]],
    )


def gpu_time(gpu_ns: float) -> str:
    """`45 GPU-seconds`, `12.3 GPU-minutes`, `1,204 GPU-hours`."""
    seconds = gpu_ns / NS
    for size, unit in ((3600, "hours"), (60, "minutes")):
        if seconds >= size:
            value = seconds / size
            return f"{value:,.0f} GPU-{unit}" if value >= 100 else f"{value:.1f} GPU-{unit}"
    return f"{seconds:.0f} GPU-seconds"


def _runs_before(run: list[AttemptRecord], runs: list[list[AttemptRecord]]) -> list[AttemptRecord]:
    newest = run[-1]
    same = [
        attempt
        for other in runs
        for attempt in other
        if attempt.job != newest.job
        and (attempt.name, attempt.cluster, attempt.origin) == (newest.name, newest.cluster, newest.origin)
        and attempt.started_ns < newest.started_ns
    ]
    return sorted(same, key=lambda a: -a.started_ns)


def _saves(about: AttemptRecord, after: AttemptRecord | None) -> tuple[Checkpoint | None, Checkpoint | None]:
    """The last good checkpoint of an attempt, and a later one that was torn."""
    until_ns = after.started_ns if after is not None else None
    saves = [s for s in about.saves if until_ns is None or (s.started_ns or s.ended_ns or 0) <= until_ns]
    good = next((save for save in reversed(saves) if save.good), None)
    later = saves[saves.index(good) + 1 :] if good is not None else saves
    return good, next((save for save in reversed(later) if save.state is SaveState.TORN), None)


def _steps_lost(died: AttemptRecord, after: AttemptRecord | None, good: Checkpoint | None) -> int | None:
    if died.last_step is None:
        return 0 if died.first_step is None else None
    if good is not None and good.step is not None:
        return max(0, died.last_step - good.step)
    if after is not None and after.first_step is not None:
        return max(0, died.last_step - after.first_step + 1)
    return None


def _lost_gpu_ns(died: AttemptRecord, after: AttemptRecord | None, steps_lost: int | None) -> int | None:
    """From the fault to the next step, and the steps to be made again at the job's best pace."""
    if not died.account.total_gpu_ns:
        return None
    lost = died.account.gpu_ns.get(Cause.FAILURE, 0)
    if after is not None:
        lost += after.account.gpu_ns.get(Cause.FAILURE, 0)
    if steps_lost and died.pace_ns:
        gpus = died.account.total_gpu_ns // max(1, died.account.total_wall_ns - died.account.gpus_unknown_ns)
        lost += steps_lost * died.pace_ns * max(1, gpus)
    return lost


def _ranks(about: AttemptRecord) -> str:
    if not about.first_rank:
        return ""
    rest = f"{about.followed:,} followed" if about.followed else "no other has reported"
    return f"rank {about.first_rank} first, {rest}"


def _why(about: AttemptRecord, newest: AttemptRecord, ranks: str) -> str:
    step = f" at step {about.last_step:,}" if about.last_step is not None else ""
    if about.state is not AttemptState.FAILED:
        return {
            AttemptState.RUNNING: f"It has not died: attempt {about.number} is running{step}.",
            AttemptState.STARTING: f"It has not died: attempt {about.number} is starting and has made no step yet.",
            AttemptState.ENDED: f"It has not died: attempt {about.number} ended in good order{step}.",
            AttemptState.REPLACED: f"Attempt {about.number} was followed by another{step}; nothing tells why.",
            AttemptState.GONE: f"Nothing more is heard of attempt {about.number}{step}; nothing tells why.",
        }[about.state]
    fault = about.fault
    if fault is None:
        return f"Attempt {about.number} died{step}; nothing tells why."
    folded = f" ({ranks})" if ranks else ""
    text = f"Attempt {about.number} died{step} on {utc(fault.since_ns)}: {fault.title.rstrip('.')}{folded}."
    return text if about is newest else f"{text} Attempt {newest.number} is {newest.state.value} now."


def _cost(
    died: AttemptRecord | None, steps_lost: int | None, lost_ns: int | None, money: float | None, currency: str
) -> str:
    if died is None:
        return "It has cost nothing beyond what the account below shows."
    steps = (
        "how many steps are lost is unknown (no checkpoint is known)"
        if steps_lost is None
        else f"{steps_lost:,} steps since the last good checkpoint"
    )
    time = "an unknown number of GPU-hours (its GPUs are unknown)" if lost_ns is None else gpu_time(lost_ns)
    price = "" if money is None else f", {money:,.2f} {currency}"
    return f"It cost {time} so far{price}: the time from the fault to the next step, and {steps}."


def _may_restart(died: AttemptRecord | None, after: AttemptRecord | None, verdict: Verdict) -> str:
    if died is None:
        return "There is nothing to restart."
    if after is not None:
        return (
            f"It is started again already: attempt {after.number} is {after.state.value}"
            f" ({verdict.blame.value}: {verdict.because})."
        )
    if verdict.blame is Blame.MACHINE:
        return f"Yes, elsewhere: it is the machine ({verdict.because})."
    if verdict.blame is Blame.CODE:
        return f"Not as it is: it is the code ({verdict.because}), so it would die again."
    again = " It died of the same cause before." if verdict.same_as_before else ""
    return (
        f"Once, yes: whether it is the code or the machine cannot be told yet ({verdict.because}).{again}"
        f" What would settle it: {verdict.settled_by}."
    )


def _from_where(
    about: AttemptRecord, after: AttemptRecord | None, good: Checkpoint | None, torn: Checkpoint | None
) -> str:
    not_from = ""
    if torn is not None:
        step = f"of step {torn.step:,}" if torn.step is not None else "begun last"
        not_from = f" Not from the one {step}: its save was not finished."
    if good is None:
        told = "The log names no checkpoint that is whole, so nothing tells from where but the beginning."
        return told + not_from
    step = f"step {good.step:,}" if good.step is not None else "the last checkpoint"
    path = f", {good.path}" if good.path else ""
    sure = (
        "complete by the log's word"
        if good.state is SaveState.COMPLETE
        else "complete as far as one can tell: its log never says when a save is over"
    )
    went = ""
    if after is not None and after.first_step is not None:
        went = f" Attempt {after.number} went on at step {after.first_step:,}."
    return f"From {step}{path}, {sure}.{went}{not_from}"


def _without_whom(died: AttemptRecord | None, verdict: Verdict) -> str:
    if died is None:
        return "Nobody: nothing points at a node."
    if verdict.suspects:
        named = "; ".join(f"{s.node} ({s.because})" for s in verdict.suspects)
        return f"Without {named}."
    here = died.fault.names.get("node", "") if died.fault is not None else ""
    if here and verdict.blame is Blame.UNKNOWN:
        return f"Nobody yet: {here} is where it began, and nothing says that the node is to blame."
    return "Nobody: nothing points at a node."


def _regression(newest: AttemptRecord, earlier: Sequence[AttemptRecord]) -> str:
    before = next((attempt for attempt in earlier if attempt.pace_ns is not None), None)
    if before is None or before.pace_ns is None:
        return "No earlier run of this name is known."
    changed = []
    if newest.image and before.image and newest.image != before.image:
        changed.append(f"image {before.image} -> {newest.image}")
    drivers = [{node.driver for node in attempt.nodes if node.driver} for attempt in (before, newest)]
    if all(drivers) and drivers[0] != drivers[1]:
        changed.append(f"driver {', '.join(sorted(drivers[0]))} -> {', '.join(sorted(drivers[1]))}")
    if newest.gpus and before.gpus and newest.gpus != before.gpus:
        changed.append(f"{before.gpus} -> {newest.gpus} GPUs")
    what = f" Changed since: {'; '.join(changed)}." if changed else " Image, driver and GPUs: no change is known."
    if newest.pace_ns is None:
        return f"Its step time is not known yet; the run before took {before.pace_ns / NS:.3g} s a step.{what}"
    ratio = newest.pace_ns / before.pace_ns - 1
    figures = f"{newest.pace_ns / NS:.3g} s a step at its best, {before.pace_ns / NS:.3g} s in the run before"
    if abs(ratio) < REGRESSION:
        return f"As fast as the run before: {figures}.{what}"
    return f"{abs(ratio):.0%} {'slower' if ratio > 0 else 'faster'} than the run before: {figures}.{what}"


def _revised(newest: AttemptRecord) -> str:
    if not newest.revisions:
        return ""
    too_late = sum(revision.too_late_seconds for revision in newest.revisions)
    late = f" {duration(too_late)} lay too far back and stay where they are." if too_late >= 1 else ""
    return (
        f"Findings that reached back behind the moment they became known have moved"
        f" {duration(newest.revised_seconds)} to another cause.{late}"
    )


def _line(attempt: AttemptRecord) -> AttemptLine:
    fault = attempt.fault if attempt.state is AttemptState.FAILED else None
    return AttemptLine(
        attempt.number,
        attempt.job,
        attempt.state,
        attempt.began_because,
        attempt.started_ns,
        attempt.ended_ns,
        attempt.as_of_ns,
        attempt.gpus,
        attempt.first_step,
        attempt.last_step,
        attempt.goodput,
        words_of(fault) if fault else "",
        fault.incident if fault else "",
    )
