"""Which numbers of the agent's parts stand in /metrics, and under which names."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Protocol

from agent.access.access import Access
from agent.ingest.commit import GroupCommit
from agent.ingest.endpoint import IngestEndpoint
from agent.ingest.log import IngestLog
from agent.server.keeper import Keeper
from agent.server.metrics import Metrics, Sample, by, plain
from agent.server.policy_file import PolicyFile
from agent.server.spaces import Spaces
from agent.server.worker import Worker
from agent.watch import Watch
from policies.engine import PolicyEngine
from policies.guards import GUARDS
from policies.model import Verdict


class Parts(Protocol):
    """The parts of an agent that are measured here."""

    ingest: IngestEndpoint
    commit: GroupCommit
    log: IngestLog
    worker: Worker
    keeper: Keeper
    spaces: Spaces
    policy: PolicyFile

    def problems(self) -> list[str]:
        """Why it is not ready."""
        ...


def register(metrics: Metrics, agent: Parts, access: Access) -> None:
    """Register every metric of docs/operations-metrics.md."""
    _ingest(metrics, agent)
    _watch(metrics, agent)
    _store(metrics, agent)
    _policy(metrics, agent)
    metrics.counter(
        "watchstander_access_failures_total",
        "Wrong credentials presented.",
        plain(lambda: access.attempts.failures),
    )


def _ingest(metrics: Metrics, agent: Parts) -> None:
    counts, clocks = agent.ingest.counts, agent.ingest.clocks
    counter, gauge = metrics.counter, metrics.gauge
    counter("watchstander_ingest_batches_total", "Batches acknowledged.", plain(lambda: counts.batches))
    counter("watchstander_ingest_duplicates_total", "Batches acknowledged again.", plain(lambda: counts.duplicates))
    counter("watchstander_ingest_events_total", "Events in those batches.", plain(lambda: counts.events))
    counter("watchstander_ingest_body_bytes_total", "Their compressed size.", plain(lambda: counts.body_bytes))
    counter(
        "watchstander_ingest_refused_total",
        "Requests not acknowledged, by reason.",
        by("reason", lambda: sorted(counts.refused.items())),
    )
    counter(
        "watchstander_ingest_unknown_metrics_total",
        "Tables' metrics that this version does not know.",
        plain(counts.unknown_metrics.total),
    )
    counter("watchstander_ingest_commits_total", "Group commits.", plain(lambda: agent.commit.groups))
    counter(
        "watchstander_ingest_commit_seconds_total",
        "Time spent writing and flushing groups.",
        plain(lambda: agent.commit.seconds),
    )
    gauge("watchstander_ingest_log_bytes", "Size of the ingest log on disk.", plain(lambda: agent.log.size_bytes))
    gauge("watchstander_ingest_backlog_bytes", "Waiting for detectors.", plain(lambda: agent.worker.backlog_bytes))
    gauge(
        "watchstander_node_clock_offset_seconds_max",
        "Largest difference between the agent's clock and a node's, either way.",
        plain(clocks.worst_seconds),
    )


def _watch(metrics: Metrics, agent: Parts) -> None:
    counts, tally = agent.worker.counts, agent.worker.tally
    counter, gauge = metrics.counter, metrics.gauge
    counter("watchstander_watch_looks_total", "Stays in a watch.", plain(lambda: counts.looks))
    counter("watchstander_watch_seconds_total", "Time spent in them.", plain(lambda: counts.ticks_seconds))
    gauge("watchstander_watch_slowest_seconds", "The longest since the start.", plain(lambda: counts.slowest_seconds))
    gauge("watchstander_watch_lag_seconds", "Live watches behind the agent's clock.", plain(agent.worker.lag_seconds))
    gauge("watchstander_watch_spaces", "Pairs of origin and cluster.", plain(lambda: len(agent.spaces)))
    counter("watchstander_watch_errors_total", "Steps that failed by a fault of ours.", plain(lambda: counts.errors))
    counter("watchstander_watch_replayed_total", "Batches from the log at the start.", plain(lambda: counts.replayed))
    gauge("watchstander_findings_open", "Open findings.", lambda: _open(tally.findings()))
    gauge("watchstander_incidents_open", "Incidents not resolved.", lambda: _open(tally.incidents()))


def _store(metrics: Metrics, agent: Parts) -> None:
    keeper = agent.keeper
    counter, gauge = metrics.counter, metrics.gauge
    counter("watchstander_store_writes_total", "Successful writes.", plain(lambda: keeper.saves))
    counter("watchstander_store_retries_total", "Writes that failed and were repeated.", plain(lambda: keeper.retries))
    counter("watchstander_store_dropped_rows_total", "Rows lost: it was away too long.", plain(lambda: keeper.dropped))
    counter(
        "watchstander_store_overtaken_rows_total",
        "Rows that a newer leader speaks for.",
        plain(lambda: keeper.overtaken),
    )
    counter("watchstander_store_refused_rows_total", "Rows it will never take.", plain(lambda: keeper.refused))
    gauge("watchstander_store_waiting_rows", "Rows not yet saved.", plain(lambda: keeper.waiting))
    gauge("watchstander_store_lag_seconds", "Age of the oldest row not yet saved.", plain(keeper.lag_seconds))
    gauge("watchstander_ready", "1 when /readyz says ok.", plain(lambda: not agent.problems()))


def _policy(metrics: Metrics, agent: Parts) -> None:
    counter, gauge = metrics.counter, metrics.gauge
    file = agent.policy

    def engines() -> list[PolicyEngine]:
        return [space.watch.policy for space in agent.spaces.live() if isinstance(space.watch, Watch)]

    def summed(counts: Callable[[PolicyEngine], Counter[str]], words: Iterable[str]) -> list[tuple[str, float]]:
        held = [counts(engine) for engine in engines()]
        return [(word, float(sum(one[word] for one in held))) for word in words]

    counter(
        "watchstander_policy_reloads_total", "Policy files put in force after the start.", plain(lambda: file.reloads)
    )
    counter("watchstander_policy_refused_total", "Changed policy files found wrong.", plain(lambda: file.refused))
    gauge(
        "watchstander_policy_file_wrong", "1: the file is wrong, the old one holds.", plain(lambda: bool(file.problem))
    )
    counter(
        "watchstander_policy_decisions_total",
        "Decisions about live incidents, by verdict.",
        by("verdict", lambda: summed(lambda engine: engine.verdicts, [verdict.value for verdict in Verdict])),
    )
    counter(
        "watchstander_guard_refusals_total",
        "Times that a guard said no to a live incident, by its id.",
        by("guard", lambda: summed(lambda engine: engine.refusals, GUARDS)),
    )
    gauge(
        "watchstander_policy_waiting",
        "Live incidents to be decided again by themselves.",
        plain(lambda: sum(engine.waiting for engine in engines())),
    )


def _open(counted: Counter[tuple[str, str]]) -> list[Sample]:
    items = sorted(counted.items())
    return [({"origin": origin, "kind": kind}, float(count)) for (origin, kind), count in items]
