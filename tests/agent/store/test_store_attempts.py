"""Attempts of jobs in the store: what goes in comes out, on both back ends, by name and by id."""

from collections.abc import Callable

import msgspec
import pytest

from agent.jobs.record import AttemptRecord, AttemptState, Checkpoint, Fault, JobNode, RevisionRecord, SaveState
from agent.store.rows import Retention
from agent.store.store import Store
from agent.watch import Changes
from collectors.model import Origin, Subject, SubjectKind
from detectors.goodput import Account, Cause
from detectors.model import FindingKind

S = 10**9
T0 = 1_795_000_000 * S
EVIL = "a\x00b\ud800</pre>\x1b[2J"


def attempt(job: str, number: int, **changes: object) -> AttemptRecord:
    values: dict[str, object] = {
        "origin": Origin.LIVE,
        "cluster": "c",
        "job": job,
        "number": number,
        "name": "llama",
        "state": AttemptState.RUNNING,
        "started_ns": T0 + number * S,
        "as_of_ns": T0 + number * S + 10,
        "account": Account({Cause.PRODUCTIVE: 10}, {Cause.PRODUCTIVE: 80}, 3, 1, 0),
    }
    return AttemptRecord(**(values | changes))  # type: ignore[arg-type]  # a test's own fields


def test_an_attempt_comes_back_as_it_was_kept(store: Store) -> None:
    """Every field, and saving it twice is saving it once."""
    whole = attempt(
        "ns/llama",
        2,
        ended_ns=T0 + 5,
        gpus=8,
        nodes=(JobNode("n", "node-1", "580"),),
        saves=(Checkpoint(5, SaveState.TORN, T0, None, "/ckpt/5"),),
        fault=Fault("INC-1", FindingKind.XID, "t", Subject("c", SubjectKind.GPU, "G"), T0, T0 + 1, {"node": "n"}, "n"),
        revisions=(RevisionRecord(T0, "F-1", Cause.DATA, 12.5, 0.0),),
        notes=("a note",),
    )

    store.save(Changes(jobs=[whole]))
    store.save(Changes(jobs=[whole]))

    assert store.attempts_of("ns/llama") == [whole]
    assert store.attempts_of("llama") == [whole]
    assert store.attempts_of("lla") == []


def test_the_newest_attempt_of_each_job_is_where_a_restart_goes_on(store: Store) -> None:
    """One a job; those of another origin or cluster are others."""
    mine = [attempt("a", 1), attempt("a", 2), attempt("b", 1)]
    others = [attempt("a", 7, origin=Origin.REPLAY), attempt("a", 9, cluster="d")]

    store.save(Changes(jobs=[*mine, *others]))

    found = store.attempts(cluster="c", origin=Origin.LIVE)
    assert sorted((row.job, row.number) for row in found) == [("a", 2), ("b", 1)]


def test_attempts_of_jobs_that_share_a_name_come_newest_first(store: Store) -> None:
    """Both ids."""
    store.save(Changes(jobs=[attempt("a", 1), attempt("b", 3), attempt("a", 2)]))

    assert [(row.job, row.number) for row in store.attempts_of("llama")] == [("b", 3), ("a", 2), ("a", 1)]
    assert len(store.attempts_of("llama", limit=2)) == 2


def test_hostile_names_are_kept_or_mended_never_refused(store: Store) -> None:
    """NUL, a lone surrogate, markup."""
    store.save(Changes(jobs=[attempt("j", 1, name=EVIL, notes=(EVIL,))]))

    [row] = store.attempts_of("j")
    assert row.name.startswith("a") and "</pre>" in row.name


def test_old_attempts_go_with_the_history(store: Store) -> None:
    """After 400 days, by their last change."""
    old = attempt("old", 1)
    new = msgspec.structs.replace(attempt("new", 1), as_of_ns=T0 + 399 * 86_400 * S)
    store.save(Changes(jobs=[old, new]))

    pruned = store.prune(T0 + 401 * 86_400 * S, Retention())

    assert (pruned.attempts, [row.job for row in store.attempts()]) == (1, ["new"])


@pytest.mark.parametrize("count", [1_200])
def test_a_name_with_very_many_jobs_is_bounded(
    store: Store, count: int, execute: Callable[[str], list[object]]
) -> None:
    """A job a night for years: the newest are given."""
    store.save(Changes(jobs=[attempt(f"j-{i}", 1, started_ns=T0 + i) for i in range(count)]))

    found = store.attempts_of("llama", limit=50)

    assert [row.job for row in found] == [f"j-{i}" for i in range(count - 1, count - 51, -1)]
    assert execute("SELECT count(*) FROM job_attempts")[0] == (count,)
