"""What the executor asks before every step, answered by the watch that made the plan: its guards, with a fresh view."""

from collections.abc import Callable, Iterable, Sequence

from collectors.errors import RetryLater
from policies.cluster_view import ClusterView
from policies.engine import PolicyEngine
from policies.guards import judge_all
from policies.journal import PlanEntry, StepState
from policies.model import GuardWord

_OVER = (StepState.DONE, StepState.SKIPPED)


class Judging:
    """Guards for the executor. Safe for threads."""

    def __init__(
        self,
        engines: Callable[[], Iterable[PolicyEngine]],
        view: ClusterView | None,
        clock: Callable[[], int],
    ) -> None:
        """`engines`: of the watches over the cluster that is acted on. `clock` gives Unix ns."""
        self._engines = engines
        self._view = view
        self._clock = clock

    def judge(self, entry: PlanEntry, index: int, beside: Sequence[PlanEntry]) -> Sequence[GuardWord]:
        """See `policies.executor.Judge`."""
        now_ns = self._clock()
        done = [at for at, step in enumerate(entry.steps) if step.state in _OVER]
        approved_by = entry.approval.who if entry.approval is not None else ""
        plans = [other.plan for other in beside]
        for engine in self._engines():
            context = engine.context_for(entry.plan, now_ns, done=done, approved_by=approved_by, beside=plans)
            if context is not None:
                return judge_all(context)
        if entry.is_undo and approved_by and self._view is not None:
            return self._of_the_cluster(self._view, now_ns)
        raise RetryLater(f"{entry.plan.incident} has not been looked at since the agent started")

    def stands(self, entry: PlanEntry) -> str:
        """Why a plan is no longer what is wanted. What a person has approved taking back is wanted."""
        if entry.is_undo:
            return ""
        return next(filter(None, (engine.stands(entry.plan) for engine in self._engines())), "")

    def _of_the_cluster(self, view: ClusterView, now_ns: int) -> list[GuardWord]:
        """For an undo whose incident nobody remembers any more: a person has said yes to it by its digest."""
        against = {"G18": view.problem(now_ns), "G20": view.paused(), "G21": view.leader(now_ns)}
        return [GuardWord(guard, not why, why or "nothing against it") for guard, why in against.items()]
