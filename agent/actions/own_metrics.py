"""The numbers of /metrics about plans, steps, the lease and the audit's head."""

from collections import Counter
from collections.abc import Callable

from agent.actions.actions import Actions
from agent.actions.outcome import BUCKETS
from agent.server.metrics import Metrics, Sample, by, plain
from agent.store.store import Store
from collectors.errors import WatchError
from policies.journal import OVER, PlanState


def register(metrics: Metrics, actions: Actions, store: Store, clock: Callable[[], int]) -> None:
    """Register them. docs/operations-metrics.md describes each."""
    counter, gauge = metrics.counter, metrics.gauge
    outcome = actions.outcome
    executor, runner = actions.executor, actions.runner
    gauge("watchstander_plans", "Plans that are not over, by state.", by("state", lambda: _plans(store)))
    counter(
        "watchstander_plans_ended_total",
        "Plans that ended, by state.",
        by("state", lambda: [(state.value, outcome.plans[state.value]) for state in sorted(OVER)]),
    )
    counter(
        "watchstander_steps_total",
        "Steps of plans, by kind and result.",
        lambda: _steps(executor.counts.steps) if executor is not None else [],
    )
    counter(
        "watchstander_plan_stale_writes_total",
        "Writes that another had overtaken.",
        plain(lambda: executor.counts.stale if executor is not None else 0),
    )
    counter(
        "watchstander_plan_holds_total",
        "Looks at which a guard held or stopped a plan, by guard.",
        by("guard", lambda: sorted(executor.counts.held.items()) if executor is not None else []),
    )
    counter(
        "watchstander_plan_errors_total",
        "Faults of ours while a plan was carried on.",
        plain(lambda: runner.errors if runner is not None else 0),
    )
    took = outcome.event_to_cordon
    counter("watchstander_event_to_cordon_seconds_total", "From first sign to cordon.", plain(lambda: took.seconds))
    counter(
        "watchstander_event_to_cordon_total", "Cordons within so many seconds (le).", by("le", lambda: _le(actions))
    )
    gauge("watchstander_lease_held", "1 while this agent leads.", plain(lambda: actions.lead.generation() is not None))
    gauge(
        "watchstander_lease_generation", "Of this agent while it leads.", plain(lambda: actions.lead.generation() or 0)
    )
    gauge(
        "watchstander_lease_wrong", "1 while nothing is known of the lease.", plain(lambda: bool(actions.lead.problem))
    )
    gauge("watchstander_actions_paused", "1 while all actions are paused.", plain(lambda: bool(actions.pauses.why())))
    heads = actions.heads
    counter("watchstander_audit_heads_total", "Audit heads published.", plain(lambda: heads.published))
    gauge(
        "watchstander_audit_head_age_seconds",
        "Since the last one.",
        plain(lambda: (clock() - heads.last.time_ns) / 1e9 if heads.last is not None else 0),
    )


def _plans(store: Store) -> list[tuple[str, float]]:
    try:
        held = Counter(entry.state.value for entry in store.journal.unfinished())
    except WatchError:
        return []  # the store's own metrics say why
    return [(state.value, float(held[state.value])) for state in PlanState if state not in OVER]


def _steps(counted: Counter[tuple[str, str]]) -> list[Sample]:
    return [({"kind": kind, "result": result}, float(count)) for (kind, result), count in sorted(counted.items())]


def _le(actions: Actions) -> list[tuple[str, float]]:
    """Cumulated, as Prometheus' histograms are."""
    found, total = [], 0
    for bound, count in zip([*(f"{bound:g}" for bound in BUCKETS), "+Inf"], actions.outcome.event_to_cordon.buckets):
        total += count
        found.append((bound, float(total)))
    return found
