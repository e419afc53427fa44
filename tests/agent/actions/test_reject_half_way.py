"""A person's no waits while a job is held suspended, and says why; a moment later it counts."""

from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from migrated_stores import migrated

from agent.access.authorise import Identity, Role
from agent.actions.approval import ApprovalDesk, Conflict
from agent.store.store import open_store
from policies.executor import entry_for
from policies.journal import HALF_WAY, PlanState, StepEntry, StepState
from policies.plan import Blast, Step, StepKind, Target, make_plan

NOW = 1_795_317_140 * 10**9
JOB = Target("batch/v1", "Job", "ml", "train", "uid-1")


def test_a_no_in_the_middle_of_a_restart_is_refused_with_the_reason(tmp_path: Path) -> None:
    plan = make_plan("INC-1", "DEC-1", "rule", (Step(StepKind.RESTART_JOB, JOB, words="restart it"),), Blast(), NOW)
    ann = Identity("ann", (Role.APPROVE,))
    with closing(open_store(migrated(tmp_path / "a.db"))) as store:
        desk = ApprovalDesk(store.journal, seconds=900, without_kubernetes=True)

        def stands(memo: dict[str, str]) -> msgspec.Struct:
            held = store.journal.get(plan.id) or store.journal.open(entry_for(plan, PlanState.READY))
            step = StepEntry(StepState.RUNNING, memo=memo)
            running = msgspec.structs.replace(held, state=PlanState.RUNNING, steps=(step,))
            return store.journal.write(running, actor="watchstander", what="step", detail="x")

        with pytest.raises(Conflict, match=r"PLN-\w+ cannot stop just now: Job ml/train is suspended; say no again in"):
            desk.reject(stands({HALF_WAY: "Job ml/train is suspended"}), ann, NOW)

        assert desk.reject(stands({"began": "1"}), ann, NOW).state is PlanState.STOPPED
