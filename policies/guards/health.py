"""Whether the cluster and the view of it can be trusted now."""

from policies.cluster_view import Place
from policies.guards.contract import Guard, GuardContext


class ClusterGuard(Guard):
    """G18."""

    id = "G18"
    says_no_when = "the API server or the agent's view of it is unwell, or much of the fleet is down"
    passes = True
    settings = ("cluster",)

    def look(self, context: GuardContext) -> tuple[bool, str]:
        """What cannot be seen is not touched."""
        assert context.view is not None  # noqa: S101 - `judge` has asked
        problem = context.view.problem(context.now_ns)
        if problem:
            return False, problem
        tally, limit = context.view.tally(Place.FLEET), context.settings.cluster.unwell_share
        words = f"{tally.unavailable} of {tally.nodes} nodes are unavailable, {limit:.0%} and more is unwell"
        if context.undoes:
            return True, words
        return tally.nodes == 0 or tally.unavailable < limit * tally.nodes or tally.unavailable <= 1, words
