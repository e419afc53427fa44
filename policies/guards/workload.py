"""What the workloads say: disruption budgets, and owners that mend their jobs themselves."""

from policies.cluster_view import BudgetView, PodView
from policies.guards.contract import NS, Guard, GuardContext, seconds_words
from policies.plan import StepKind


class BudgetGuard(Guard):
    """G16."""

    id = "G16"
    says_no_when = "a PodDisruptionBudget allows no eviction now of a pod that would be evicted"
    passes = True
    settings = ("budgets",)

    def look(self, context: GuardContext) -> tuple[bool, str]:
        """Never passed over. An eviction under way waits for a budget up to the deadline, then the plan fails."""
        assert context.view is not None  # noqa: S101 - `judge` has asked
        evicted = context.reach.evicted
        covered = 0
        for namespace in sorted({pod.namespace for pod in evicted}):
            for budget in sorted(context.view.budgets(namespace), key=lambda b: b.name):
                under = [pod for pod in evicted if pod.namespace == namespace and covers(budget, pod)]
                covered += len(under)
                if under and budget.allowed <= 0:
                    return False, (
                        f"budget {namespace}/{budget.name} allows 0 disruptions, "
                        f"{len(under)} of its pods would be evicted"
                    )
        deadline = seconds_words(context.settings.budgets.deadline_seconds)
        return True, f"{covered} of {len(evicted)} pods under budgets that allow it, waited for up to {deadline}"


def covers(budget: BudgetView, pod: PodView) -> bool:
    """Whether a budget's selector takes a pod in, as Kubernetes reads it: an empty selector takes in all."""
    if any(pod.labels.get(key) != value for key, value in budget.match_labels.items()):
        return False
    for key, operator, values in budget.match_expressions:
        has = key in pod.labels
        matches = {
            "In": has and pod.labels[key] in values if has else False,
            "NotIn": not has or pod.labels[key] not in values,
            "Exists": has,
            "DoesNotExist": not has,
        }.get(operator, True)  # an operator that we do not know: rather covered than not
        if not matches:
            return False
    return True


class OwnerGuard(Guard):
    """G17."""

    id = "G17"
    says_no_when = "the job's owner is recovering it already: pods end, or were made anew since the interruption"
    passes = True
    settings = ("owner",)

    def look(self, context: GuardContext) -> tuple[bool, str]:
        """Two who restart the same job undo one another's work."""
        assert context.view is not None  # noqa: S101 - `judge` has asked
        interrupted_ns, limit = context.facts.interrupted_ns, context.settings.owner.recovering_seconds
        for step in context.steps:
            if step.kind is not StepKind.RESTART_JOB:
                continue
            pods = tuple(context.view.pods_of(step.target.uid))
            ending = sum(pod.deleting for pod in pods)
            anew = [pod for pod in pods if interrupted_ns and pod.created_ns > interrupted_ns]
            newest_ns = max((pod.created_ns for pod in anew), default=interrupted_ns)
            if (ending or anew) and context.now_ns - newest_ns <= limit * NS:
                what = f"{ending} of its {len(pods)} pods end" if ending else f"{len(anew)} pods were made anew"
                return False, f"the owner of {step.target} recovers it: {what}; left to it for {seconds_words(limit)}"
        return True, "no owner is recovering what would be restarted"
