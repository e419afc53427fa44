"""Who approves may be asked to be allowed, by the cluster's own roles, what the plan does."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from migrated_stores import migrated

from agent.access.authorise import TOKEN_REVIEW, Identity, Role
from agent.access.kubernetes import GROUP, KubernetesIdentities
from agent.access.plan_rights import missing_rights
from agent.actions.approval import ApprovalDesk, NotAllowed
from agent.settings import KubernetesAccessSettings
from agent.store.store import Store, open_store
from policies.cluster.client import KubeClient
from policies.cluster.reviews import Access, KubeUser
from policies.executor import entry_for
from policies.journal import PlanState
from policies.plan import Blast, Plan, Step, StepKind, Target, make_plan

JANE = KubeUser("jane", groups=("sre",))
NODE = Target("v1", "Node", "", "gpu-1", "uid-1")


def target(api_version: str, kind: str) -> Target:
    return Target(api_version, kind, "ml", "train", "uid-2")


class Asked(KubernetesIdentities):
    """Answers by a set of words, and keeps what it was asked."""

    def __init__(self, *refused: str) -> None:
        super().__init__(KubernetesAccessSettings(), lambda: KubeClient.at("https://none", Path("none")), lambda: 0)
        self.refused = set(refused)
        self.asked: list[str] = []

    def may(self, user: KubeUser, access: Access) -> bool:
        assert user == JANE
        if access.group != GROUP:
            self.asked.append(str(access))
        return str(access) not in self.refused


def plan_of(*steps: Step) -> Plan:
    return make_plan("INC-1", "DEC-1", "rule", steps, Blast(), 1)


@pytest.mark.parametrize(
    ("step", "asked"),
    [
        (Step(StepKind.CORDON, NODE), ["patch nodes gpu-1"]),
        (Step(StepKind.TAINT, NODE), ["patch nodes gpu-1"]),
        (Step(StepKind.CONDITION, NODE), ["patch nodes/status gpu-1"]),
        (
            Step(StepKind.EVICT, NODE),
            ["create pods/eviction in namespace dev", "create pods/eviction in namespace ml", "patch nodes gpu-1"],
        ),
        (Step(StepKind.REBOOT_NODE, NODE), ["patch nodes gpu-1"]),
        (Step(StepKind.RESTART_JOB, target("batch/v1", "Job")), ["patch jobs train in namespace ml"]),
        (
            Step(StepKind.RESTART_JOB, target("jobset.x-k8s.io/v1alpha2", "JobSet")),
            ["patch jobsets train in namespace ml"],
        ),
        (
            Step(StepKind.RESTART_JOB, target("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet")),
            ["delete pods in namespace ml"],
        ),
        (
            Step(StepKind.RESTART_JOB, target("batch.volcano.sh/v1alpha1", "Job")),
            ["create commands in namespace ml"],
        ),
        (Step(StepKind.CHECKPOINT, target("batch/v1", "Job")), ["patch jobs train in namespace ml"]),
    ],
    ids=lambda value: f"{value.kind} {value.target.kind}" if isinstance(value, Step) else "",
)
def test_each_write_of_a_step_is_asked_about_in_the_persons_own_name(step: Step, asked: list[str]) -> None:
    kubernetes = Asked()

    assert (missing_rights(kubernetes, JANE, plan_of(step), ["ml", "dev"]), kubernetes.asked) == ("", asked)


def test_what_is_missing_is_said_and_each_thing_once() -> None:
    steps = (Step(StepKind.CORDON, NODE), Step(StepKind.TAINT, NODE), Step(StepKind.EVICT, NODE))
    kubernetes = Asked("patch nodes gpu-1", "create pods/eviction in namespace ml")

    assert missing_rights(kubernetes, JANE, plan_of(*steps), ["ml"]) == (
        "may not create pods/eviction in namespace ml; may not patch nodes gpu-1"
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(migrated(tmp_path / "store.db"))
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("refused", "needs", "state"),
    [
        pytest.param((), True, "ready", id="may do it by hand"),
        pytest.param(("patch nodes gpu-1",), True, None, id="may not"),
        pytest.param(("patch nodes gpu-1",), False, "ready", id="may not, and need not"),
    ],
)
def test_an_approval_asks_for_ones_own_rights_where_the_settings_want_it(
    store: Store, refused: tuple[str, ...], needs: bool, state: str | None
) -> None:
    kubernetes = Asked(*refused)
    desk = ApprovalDesk(
        store.journal,
        seconds=60,
        without_kubernetes=False,
        kubernetes=kubernetes,
        own_rights=(lambda asked, user, plan: missing_rights(asked, user, plan, ())) if needs else None,
    )
    entry = store.journal.open(entry_for(plan_of(Step(StepKind.CORDON, NODE)), PlanState.AWAITING))
    jane = Identity("kubernetes:jane", (Role.APPROVE,), proof=TOKEN_REVIEW, user=JANE)
    if state is None:
        with pytest.raises(NotAllowed, match="kubernetes:jane may not patch nodes gpu-1: who approves PLN-"):
            desk.approve(entry, entry.plan.digest, jane, 10)
        assert store.journal.unfinished()[0].state is PlanState.AWAITING
        return
    after = desk.approve(entry, entry.plan.digest, jane, 10)

    assert after.approval is not None
    assert (after.state.value, after.approval.how) == (
        state,
        "TokenReview and SubjectAccessReview" + (", own rights" if needs else ""),
    )
