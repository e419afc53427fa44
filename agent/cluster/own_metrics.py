"""The numbers of /metrics about the view of the cluster, and about the questions put to the API server."""

from collections import Counter
from collections.abc import Callable

from agent.access.access import Access
from agent.cluster.view import LiveCluster
from agent.inventory.watcher import Watcher
from agent.server.metrics import Metrics, Sample, plain
from policies.cluster_view import Place


def register(metrics: Metrics, view: LiveCluster | None, access: Access, clock: Callable[[], int]) -> None:
    """Register them; docs/operations-metrics.md describes each. Without a view those of the view have no sample."""
    counter, gauge = metrics.counter, metrics.gauge
    gauge("watchstander_cluster_trusted", "1 while G18 trusts the view.", lambda: _trusted(view, clock()))
    gauge("watchstander_cluster_nodes", "GPU nodes, by who keeps pods off them.", lambda: _nodes(view))
    gauge("watchstander_cluster_gpus_free", "GPUs of available nodes that no pod holds.", lambda: _free(view))
    gauge("watchstander_cluster_api_seconds", "What the last small answer took.", lambda: _api_seconds(view))
    gauge(
        "watchstander_cluster_watch_silent_seconds",
        "Since the API server last spoke on a watch.",
        _each(view, lambda watcher: max(0.0, (clock() - watcher.heard_ns) / 1e9) if watcher.heard_ns else None),
    )
    counter(
        "watchstander_cluster_changes_total",
        "Changes that watches told.",
        _each(view, lambda watcher: watcher.counts.told),
    )
    counter("watchstander_cluster_lists_total", "Whole lists read.", _each(view, lambda watcher: watcher.counts.lists))
    counter(
        "watchstander_cluster_refused_total",
        "Objects that did not read as they should.",
        _each(view, lambda watcher: watcher.counts.refused),
    )
    counter(
        "watchstander_access_reviews_total",
        "Questions about who somebody is and what they may.",
        plain(lambda: access.kubernetes.reviews if access.kubernetes is not None else 0),
    )


def _trusted(view: LiveCluster | None, now_ns: int) -> list[Sample]:
    return [({}, float(not view.problem(now_ns)))] if view is not None else []


def _nodes(view: LiveCluster | None) -> list[Sample]:
    nodes = view.nodes() if view is not None else ()
    held = Counter(node.held_by or ("not-ready" if node.unavailable else "nobody") for node in nodes)
    return [({"held_by": word}, float(count)) for word, count in sorted(held.items())]


def _free(view: LiveCluster | None) -> list[Sample]:
    return [({}, float(view.tally(Place.FLEET).gpus_free))] if view is not None else []


def _api_seconds(view: LiveCluster | None) -> list[Sample]:
    last = view.health.probe.last if view is not None and view.health.probe is not None else None
    return [({}, last.seconds)] if last is not None else []


def _each(
    view: LiveCluster | None,
    read: Callable[["Watcher"], float | None],  # type: ignore[type-arg]  # of whatever kind
) -> Callable[[], list[Sample]]:
    """One sample a watch."""

    def samples() -> list[Sample]:
        watchers = view.health.watchers if view is not None else {}
        found = ((kind, read(watcher)) for kind, watcher in watchers.items())
        return [({"kind": kind}, float(value)) for kind, value in found if value is not None]

    return samples
