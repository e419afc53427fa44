"""Who may say yes to which plan, how that is known, and what becomes of it."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from migrated_stores import migrated

from agent.access.authorise import TOKEN_REVIEW, Identity, Role
from agent.access.kubernetes import KubernetesIdentities
from agent.actions.approval import ApprovalDesk, Conflict, NotAllowed
from agent.store.store import Store, open_store
from collectors.errors import GiveUp, RetryLater
from policies.cluster.reviews import Access, KubeUser
from policies.executor import entry_for
from policies.journal import PlanEntry, PlanState, StepEntry, StepState
from policies.plan import Blast, Plan, Step, StepKind, Target, make_plan

SECOND = 10**9
NOW = 1_795_317_140 * SECOND
ANN = Identity("kubernetes:ann", (Role.APPROVE,), proof=TOKEN_REVIEW, user=KubeUser("ann", groups=("sre",)))
TOKEN = Identity("admin", (Role.ADMIN,))


class Reviews(KubernetesIdentities):
    """Answers SubjectAccessReviews without an API server."""

    def __init__(self, answer: bool | Exception) -> None:
        self.answer = answer
        self.asked: list[tuple[str, str]] = []

    def may(self, user: KubeUser, access: Access) -> bool:
        self.asked.append((user.username, f"{access.verb} {access.resource}.{access.group}"))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = open_store(migrated(tmp_path / "store.db"))
    yield made
    made.close()


@pytest.fixture
def desk_of(store: Store) -> Callable[..., ApprovalDesk]:
    def make(kubernetes: Any = None, *, without: bool = False, **more: Any) -> ApprovalDesk:
        return ApprovalDesk(store.journal, seconds=900, without_kubernetes=without, kubernetes=kubernetes, **more)

    return make


def plan(uid: str = "u1", *, deadline_ns: int = NOW + 3600 * SECOND, restart: bool = False) -> Plan:
    steps = [Step(StepKind.CORDON, Target("v1", "Node", "", "gpu-07", uid), words="cordon node gpu-07")]
    if restart:
        steps.append(Step(StepKind.RESTART_JOB, Target("batch/v1", "Job", "ns", "llama", "j1")))
    return make_plan("INC-a", "DEC-1", "r", tuple(steps), Blast(nodes=1), NOW, deadline_ns=deadline_ns)


@pytest.fixture
def waiting(store: Store) -> PlanEntry:
    return store.journal.open(entry_for(plan(), PlanState.AWAITING))


def test_a_person_whom_the_api_server_knows_is_asked_about_there_at_that_moment(
    store: Store, waiting: PlanEntry, desk_of: Callable[..., ApprovalDesk]
) -> None:
    """And how it was known stands in the approval and in the audit."""
    reviews, heard = Reviews(True), []
    desk = desk_of(reviews, approved=heard.append)

    after = desk.approve(waiting, waiting.plan.digest, ANN, NOW + SECOND, "seen")

    assert reviews.asked == [("ann", "approve plans.watchstander.io")]
    assert after.approval is not None
    assert (after.state, after.approval.who, after.approval.how, after.approval.expires_ns) == (
        PlanState.READY,
        "kubernetes:ann",
        "TokenReview and SubjectAccessReview",
        NOW + 901 * SECOND,
    )
    assert heard == [after]
    newest = store.audit(limit=1, newest_first=True)[0]
    assert (newest.actor, newest.what) == ("kubernetes:ann", "approve")
    assert "approved (TokenReview and SubjectAccessReview): seen" in newest.detail


@pytest.mark.parametrize(
    ("who", "kubernetes", "without", "says"),
    [
        pytest.param(ANN, Reviews(False), True, "may not approve plans.watchstander.io", id="review-says-no"),
        pytest.param(ANN, None, True, "access.kubernetes is off", id="nobody-to-ask"),
        pytest.param(TOKEN, Reviews(True), False, "actions.approve_without_kubernetes", id="a-token"),
        pytest.param(Identity("bob", (Role.READ,)), Reviews(True), True, "bob may not approve", id="no-right"),
        pytest.param(
            Identity("eve", (Role.APPROVE,), namespaces=("ns",)), None, True, "limited to ns", id="of-one-namespace"
        ),
    ],
)
def test_who_may_not_changes_nothing(
    store: Store,
    waiting: PlanEntry,
    desk_of: Callable[..., ApprovalDesk],
    who: Identity,
    kubernetes: Any,
    without: bool,
    says: str,
) -> None:
    """And is told what would help."""
    desk = desk_of(kubernetes, without=without)

    for speak in (lambda: desk.approve(waiting, waiting.plan.digest, who, NOW), lambda: desk.reject(waiting, who, NOW)):
        with pytest.raises(NotAllowed, match=says):
            speak()

    assert store.journal.get(waiting.plan.id) == waiting


def test_an_api_server_that_does_not_answer_approves_nothing(
    store: Store, waiting: PlanEntry, desk_of: Callable[..., ApprovalDesk]
) -> None:
    """It may be asked again."""
    with pytest.raises(RetryLater):
        desk_of(Reviews(RetryLater("away"))).approve(waiting, waiting.plan.digest, ANN, NOW)

    assert store.journal.get(waiting.plan.id) == waiting


def test_another_digest_is_refused_with_what_has_changed(store: Store, desk_of: Callable[..., ApprovalDesk]) -> None:
    """The person looked at the plan before this one."""
    old = store.journal.open(entry_for(plan(), PlanState.AWAITING))
    store.journal.write(
        msgspec.structs.replace(old, state=PlanState.LAPSED), actor="watchstander", what="lapse", detail=""
    )
    new = store.journal.open(entry_for(plan(restart=True), PlanState.AWAITING))

    with pytest.raises(Conflict, match="look at it again; since then: now restart Job ns/llama"):
        desk_of(without=True).approve(new, old.plan.digest, TOKEN, NOW)

    assert store.journal.get(new.plan.id) == new


@pytest.mark.parametrize(
    ("state", "at_ns", "says"),
    [
        pytest.param(PlanState.READY, NOW, "is ready", id="approved-already"),
        pytest.param(PlanState.RUNNING, NOW, "is running", id="under-way"),
        pytest.param(PlanState.LAPSED, NOW, "is lapsed: a newer plan", id="lapsed"),
        pytest.param(PlanState.AWAITING, NOW + 3601 * SECOND, "has lapsed: nobody", id="too-late"),
    ],
)
def test_a_plan_that_does_not_wait_is_not_approved(
    store: Store, desk_of: Callable[..., ApprovalDesk], state: PlanState, at_ns: int, says: str
) -> None:
    """It says how it stands."""
    reason = "a newer plan" if state is PlanState.LAPSED else ""
    held = store.journal.open(entry_for(plan(), state, reason=reason))

    with pytest.raises(Conflict, match=says):
        desk_of(without=True).approve(held, held.plan.digest, TOKEN, at_ns)


def test_a_plan_that_changes_at_that_very_moment_is_not_approved(
    store: Store, waiting: PlanEntry, desk_of: Callable[..., ApprovalDesk]
) -> None:
    """Compare-and-set: a decision came in between."""
    store.journal.write(
        msgspec.structs.replace(waiting, state=PlanState.LAPSED), actor="watchstander", what="lapse", detail=""
    )

    with pytest.raises(Conflict, match="changed at this very moment"):
        desk_of(without=True).approve(waiting, waiting.plan.digest, TOKEN, NOW)


def test_a_plan_under_way_stops_at_a_no_and_its_undo_is_proposed(
    store: Store, desk_of: Callable[..., ApprovalDesk]
) -> None:
    """What was done stands until somebody approves that."""
    begun = entry_for(plan(restart=True), PlanState.RUNNING)
    begun = msgspec.structs.replace(begun, steps=(StepEntry(StepState.DONE), StepEntry()))
    held = store.journal.open(begun)

    after = desk_of(without=True).reject(held, TOKEN, NOW, "wrong node")

    (undo,) = store.journal.unfinished()
    assert (after.state, after.reason) == (
        PlanState.STOPPED,
        f"rejected by admin: wrong node; undo proposed: {undo.plan.id}",
    )
    assert (undo.state, undo.undoes) == (PlanState.AWAITING, held.plan.id)
    assert [step.kind for step in undo.plan.steps] == [StepKind.UNCORDON]


def test_a_note_has_an_end(waiting: PlanEntry, desk_of: Callable[..., ApprovalDesk]) -> None:
    """It is kept for as long as the audit is."""
    with pytest.raises(GiveUp, match="2,000 characters"):
        desk_of(without=True).approve(waiting, waiting.plan.digest, TOKEN, NOW, "x" * 2001)


def test_an_approval_comes_from_the_clock_that_is_handed_in(
    waiting: PlanEntry, desk_of: Callable[..., ApprovalDesk]
) -> None:
    """Not from the machine's."""
    after = desk_of(without=True).approve(waiting, waiting.plan.digest, TOKEN, NOW)

    assert after.approval is not None
    assert after.approval.time_ns == NOW < time.time_ns()
