"""Two writers at one journal, in any order: a state machine over the real store."""

import shutil
from pathlib import Path
from tempfile import mkdtemp

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from migrated_stores import migrated
from test_store_plans import plan, ready

from agent.store.store import Store, open_store
from policies.journal import OVER, PlanEntry, PlanState, Stale

pytestmark = pytest.mark.slow

WRITERS = st.integers(0, 1)
PLANS = [plan("INC-0"), plan("INC-1", name="n2")]


class TwoWriters(RuleBasedStateMachine):
    """Each writer remembers what it read last, and leads under a generation that only ever rises."""

    store: Store
    url: str

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(mkdtemp())
        self.store = open_store(migrated(self.folder / "store.db"))
        self.newest: dict[str, PlanEntry] = {}
        """What the journal must hold."""
        self.read: list[dict[str, PlanEntry]] = [{}, {}]
        self.generation = [1, 1]
        self.writes = 0

    @rule(writer=WRITERS)
    def leads(self, writer: int) -> None:
        """It takes the lease over: under a generation above all before."""
        self.generation[writer] = max(self.generation) + 1

    @rule(writer=WRITERS, which=st.sampled_from(PLANS))
    def opens(self, writer: int, which: object) -> None:
        """A plan is put in once, or anew when it is over."""
        entry = self.store.journal.open(ready(which))  # type: ignore[arg-type]
        held = self.newest.get(entry.plan.id)
        if held is None or held.state in OVER:
            assert entry.version == (held.version + 1 if held else 1)
            assert entry.generation == (held.generation if held else 0)
            self.newest[entry.plan.id] = entry
            self.writes += 1
        assert entry == self.newest[entry.plan.id]
        self.read[writer][entry.plan.id] = entry

    @rule(writer=WRITERS)
    def reads(self, writer: int) -> None:
        """What is not over."""
        for entry in self.store.journal.unfinished():
            self.read[writer][entry.plan.id] = entry

    @precondition(lambda self: any(self.read))
    @rule(writer=WRITERS, state=st.sampled_from(PlanState), data=st.data())
    def writes_what_it_read(self, writer: int, state: PlanState, data: st.DataObject) -> None:
        """It succeeds exactly where nobody has written since, and no newer generation has claimed it."""
        if not self.read[writer]:
            return
        mine = self.read[writer][data.draw(st.sampled_from(sorted(self.read[writer])))]
        claim = msgspec.structs.replace(mine, state=state, generation=self.generation[writer], holder=f"agent-{writer}")
        held = self.newest[mine.plan.id]
        fresh = held.version == mine.version and held.generation <= claim.generation
        try:
            written = self.store.journal.write(claim, actor=f"agent-{writer}", what="step", detail="x")
        except Stale:
            assert not fresh
            return
        assert fresh
        assert written == msgspec.structs.replace(claim, version=held.version + 1)
        self.newest[mine.plan.id] = self.read[writer][mine.plan.id] = written
        self.writes += 1

    @invariant()
    def the_journal_holds_what_was_written_last(self) -> None:
        """And the audit one entry for each write, in a whole chain."""
        for plan_id, entry in self.newest.items():
            assert self.store.journal.get(plan_id) == entry
        assert len(self.store.audit(limit=1000)) == self.writes

    def teardown(self) -> None:
        """The chain is whole; the store goes."""
        assert self.store.verify_audit() is None
        self.store.close()
        shutil.rmtree(self.folder)


TestTwoWriters = TwoWriters.TestCase
TestTwoWriters.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
