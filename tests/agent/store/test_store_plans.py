"""The journal in the store: compare-and-set on version and generation, with the audit entry in the same transaction."""

import json
import threading
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from store_samples import NODE, NOW, SECOND, decision, incident

from agent.store.store import Store
from agent.watch import Changes
from collectors.errors import GiveUp
from collectors.model import EventKind, Origin
from policies.cluster_view import Taken
from policies.executor import entry_for
from policies.journal import Approval, PlanEntry, PlanState, Stale, StepEntry, StepState
from policies.model import Verdict
from policies.plan import Blast, Plan, Step, StepKind, Target, make_plan

NODE_TARGET = Target("v1", "Node", "", "n1", NODE.id)


def plan(incident_id: str = "INC-aaaa1111", made_ns: int = NOW, name: str = "n1") -> Plan:
    step = Step(StepKind.CORDON, msgspec.structs.replace(NODE_TARGET, name=name), words=f"cordon node {name}")
    return make_plan(incident_id, "d1", "gpu-off-the-bus", (step,), Blast(nodes=1), made_ns)


def ready(made: Plan | None = None) -> PlanEntry:
    return entry_for(made or plan(), PlanState.READY)


def changed(entry: PlanEntry, **changes: Any) -> PlanEntry:
    return msgspec.structs.replace(entry, **changes)


def write(store: Store, entry: PlanEntry, actor: str = "watchstander", what: str = "step", detail: str = "x") -> Any:
    return store.journal.write(entry, actor=actor, what=what, detail=detail)


def test_a_plan_comes_back_as_it_was_put_in(store: Store) -> None:
    """By its id, by the beginning of it, and in the list of what is not over."""
    approval = Approval("ann", plan().digest, NOW, NOW + SECOND, "test")
    opened = store.journal.open(changed(ready(), approval=approval, reason="\ud800 \0 hostile"))

    assert opened.version == 1
    read = store.journal.get(opened.plan.id)
    assert read == changed(opened, reason="��� \0 hostile")
    assert store.journal.find(opened.plan.id[4:8].lower()) == read
    assert store.journal.unfinished() == [read]
    assert store.journal.get("PLN-NOTTHERE") is None
    assert store.journal.find("%") is None


def test_the_beginning_of_two_plans_names_neither(store: Store) -> None:
    """The candidates are named."""
    for n in range(40):
        store.journal.open(ready(plan(f"INC-{n}")))
    twice = next(
        first
        for first in "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
        if sum(entry.plan.id.startswith(f"PLN-{first}") for entry in store.journal.unfinished()) > 1
    )

    with pytest.raises(GiveUp, match=f"{twice} is the beginning of more than one plan: PLN-"):
        store.journal.find(twice)


def test_the_same_plan_is_put_in_only_once(store: Store) -> None:
    """It comes back as it stands, and the audit does not hear of it again."""
    claimed = write(store, changed(store.journal.open(ready()), state=PlanState.RUNNING, generation=3))

    assert store.journal.open(ready()) == claimed
    assert [entry.what for entry in store.audit()] == ["plan", "step"]


def test_a_plan_that_is_over_can_begin_anew(store: Store) -> None:
    """Under its old generation, so that whoever still holds the old entry is refused."""
    claimed = write(store, changed(store.journal.open(ready()), state=PlanState.STOPPED, generation=3))

    again = store.journal.open(ready())

    assert (again.state, again.version, again.generation) == (PlanState.READY, 3, 3)
    with pytest.raises(Stale):
        write(store, claimed)


@pytest.mark.parametrize(
    ("version", "generation"),
    [
        pytest.param(1, 2, id="of-a-version-gone-by"),
        pytest.param(3, 2, id="of-a-version-to-come"),
        pytest.param(2, 1, id="of-an-older-generation"),
    ],
)
def test_a_stale_writer_is_refused_and_leaves_no_trace(store: Store, version: int, generation: int) -> None:
    """Neither in the journal nor in the audit."""
    opened = store.journal.open(ready())
    held = write(store, changed(opened, state=PlanState.RUNNING, generation=2))

    with pytest.raises(Stale):
        write(store, changed(held, version=version, generation=generation, state=PlanState.DONE))

    assert store.journal.get(opened.plan.id) == held
    assert len(store.audit()) == 2
    assert store.verify_audit() is None


def test_a_plan_that_is_not_there_cannot_be_written(store: Store) -> None:
    """It has to be opened."""
    with pytest.raises(Stale, match="is not in the journal"):
        write(store, ready())


def test_every_write_tells_the_audit_who_what_and_how_far(store: Store) -> None:
    """In one entry about the plan, which names its incident."""
    opened = store.journal.open(ready())
    write(store, changed(opened, state=PlanState.LAPSED), actor="ann", what="reject", detail="rejected: not now")

    entry = store.audit()[-1]
    detail = json.loads(entry.detail)

    assert (entry.actor, entry.what, entry.about) == ("ann", "reject", opened.plan.id)
    assert detail["title"] == "rejected: not now"
    assert detail["incident"] == "INC-aaaa1111"
    assert detail["digest"] == opened.plan.digest
    assert detail["state"] == "lapsed"


def done(entry: PlanEntry, state: StepState = StepState.DONE) -> PlanEntry:
    at = StepEntry(state, "cordoned", ended_ns=NOW + 5 * SECOND)
    return changed(entry, state=PlanState.DONE, steps=(at,), updated_ns=NOW + 6 * SECOND)


def test_a_step_that_was_carried_out_counts_and_shows_on_its_incident(store: Store) -> None:
    """Once, in the transaction that says so."""
    store.save(Changes(incidents=[incident()]))
    written = write(store, done(store.journal.open(ready())))
    write(store, changed(written, reason="looked at again"))

    assert store.journal.taken(NOW) == [
        Taken(NOW + 5 * SECOND, "cordon", NODE.id, "INC-aaaa1111", "xid", "", "gpu-off-the-bus")
    ]
    assert store.journal.taken(NOW + 6 * SECOND) == []
    events = store.events(since_ns=NOW, until_ns=NOW + 60 * SECOND, subject=NODE)
    assert [(event.kind, event.line) for event in events] == [(EventKind.ACTION, "cordon node n1: cordoned")]


@pytest.mark.parametrize(
    ("state", "counts", "shows"),
    [
        pytest.param(StepState.FAILED, 0, 1, id="failed"),
        pytest.param(StepState.SKIPPED, 0, 0, id="skipped"),
        pytest.param(StepState.RUNNING, 0, 0, id="under-way"),
    ],
)
def test_a_step_that_was_not_carried_out_does_not_count(
    store: Store, state: StepState, counts: int, shows: int
) -> None:
    """A failure is told, though."""
    store.save(Changes(incidents=[incident()]))

    write(store, done(store.journal.open(ready()), state))

    assert len(store.journal.taken(NOW)) == counts
    assert len(store.events(since_ns=NOW, until_ns=NOW + 60 * SECOND)) == shows


def test_a_step_about_what_is_not_live_shows_nowhere_as_an_event(store: Store) -> None:
    """A replay's clock is its own."""
    store.save(Changes(incidents=[incident(origin=Origin.REPLAY)]))

    write(store, done(store.journal.open(ready())))

    assert store.events(since_ns=0, until_ns=NOW + 60 * SECOND) == []


def test_plans_are_listed_newest_first_by_state_and_incident(store: Store) -> None:
    """Page by page."""
    opened = [store.journal.open(ready(plan(f"INC-{n % 2}", NOW + n, f"n{n}"))) for n in range(4)]
    write(store, changed(opened[1], state=PlanState.DONE))

    def names(**query: Any) -> list[str]:
        return [entry.plan.steps[0].target.name for entry in store.journal.listed(**query)]

    assert names() == ["n3", "n2", "n1", "n0"]
    assert names(states=[PlanState.DONE]) == ["n1"]
    assert names(incident="INC-0") == ["n2", "n0"]
    assert names(limit=1, before_ns=NOW + 3) == ["n2"]
    assert [entry.plan.steps[0].target.name for entry in store.journal.unfinished()] == ["n0", "n2", "n3"]


def test_of_many_writers_of_one_version_one_wins(store: Store) -> None:
    """All the others are told."""
    opened = store.journal.open(ready())
    outcomes: list[str] = []

    def claim(n: int) -> None:
        try:
            write(store, changed(opened, state=PlanState.RUNNING, generation=1, holder=f"agent-{n}"))
            outcomes.append("won")
        except Stale:
            outcomes.append("stale")

    threads = [threading.Thread(target=claim, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == ["stale"] * 5 + ["won"]
    assert len(store.audit()) == 2


def test_a_pause_is_kept_and_audited_until_somebody_ends_it(store: Store) -> None:
    """Over a restart too: it lies in the store."""
    assert store.journal.paused() is None
    store.journal.pause("ann", "driver upgrade", NOW)
    paused = store.journal.paused()
    ended = [store.journal.resume("bob", NOW + 1), store.journal.resume("bob", NOW + 2)]

    assert paused is not None
    assert (paused.who, paused.reason, paused.time_ns) == ("ann", "driver upgrade", NOW)
    assert ended == [True, False]
    assert store.journal.paused() is None
    assert [(entry.actor, entry.what) for entry in store.audit()] == [("ann", "pause"), ("bob", "resume")]


def test_a_generation_of_the_store_is_above_all_before(store: Store) -> None:
    """Each start takes the next."""
    assert [store.journal.next_generation(f"agent-{n}", NOW) for n in range(3)] == [1, 2, 3]


def test_plans_that_are_over_go_with_their_time(store: Store, execute: Callable[[str], list[Any]]) -> None:
    """What is not over stays however old it is."""
    from agent.store.rows import Retention

    opened = store.journal.open(ready())
    write(store, done(store.journal.open(ready(plan("INC-old", name="n2")))))
    store.prune(NOW + 500 * 86_400 * SECOND, Retention())

    assert [row[0] for row in execute("SELECT id FROM plans")] == [opened.plan.id]
    assert execute("SELECT plan_id FROM steps_taken") == []


def deciding(verdict: Verdict, made: Plan, id_: str = "d1", at_ns: int = NOW) -> Changes:
    return Changes(
        incidents=[incident()], decisions=[decision(id_, verdict=verdict, plan=made, rule="r", decided_ns=at_ns)]
    )


def test_a_decision_and_its_plan_are_kept_in_one_transaction(store: Store) -> None:
    """A repeat changes nothing; another decision lets the plan lapse."""
    made = plan()
    store.save(deciding(Verdict.DO, made))
    store.save(deciding(Verdict.DO, made))
    first = store.journal.listed()
    store.save(deciding(Verdict.REFUSED, made, "d2", NOW + SECOND))

    assert [(entry.plan.id, entry.state, entry.version) for entry in first] == [(made.id, PlanState.READY, 1)]
    assert [(entry.state, entry.version) for entry in store.journal.listed()] == [(PlanState.LAPSED, 2)]
    assert [entry.what for entry in store.audit()] == ["decision", "plan", "decision", "lapse"]


def test_a_plan_that_lapsed_is_put_in_anew_when_it_is_decided_again(store: Store) -> None:
    """Under its old id, with versions that go on."""
    made = plan()
    store.save(deciding(Verdict.ASK, made))
    store.save(deciding(Verdict.REFUSED, made, "d2", NOW + SECOND))
    store.save(deciding(Verdict.ASK, made, "d3", NOW + 2 * SECOND))

    assert [(entry.state, entry.version) for entry in store.journal.listed()] == [(PlanState.AWAITING, 3)]


def test_what_is_replayed_comes_to_no_plan(store: Store) -> None:
    """Whatever its decision says."""
    changes = deciding(Verdict.DO, plan())
    changes.decisions = [msgspec.structs.replace(changes.decisions[0], origin=Origin.REPLAY)]
    store.save(changes)

    assert store.journal.listed() == []
