"""A leader that is paused in the middle of a save, past its lease, and woken: what the new leader wrote stands."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from agent_process import AgentProcess, until, xid

from testcluster.faulty_proxy import Fault, FaultyProxy
from testcluster.space import Space

pytestmark = [pytest.mark.cluster, pytest.mark.postgres, pytest.mark.timeout(300)]
Start = Callable[..., AgentProcess]


@contextmanager
def nobody_saves_incidents(url: str) -> Iterator[None]:
    """Savers stand in the middle of their transaction meanwhile; readers go on."""
    with psycopg.connect(url) as connection:
        connection.execute("LOCK TABLE incidents IN EXCLUSIVE MODE")
        yield


def waiting(url: str) -> int:
    """Agents' connections that wait for somebody's lock."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'watchstander' AND wait_event_type = 'Lock'"
    with psycopg.connect(url) as connection:
        (count,) = connection.execute(query).fetchone() or (0,)
        return int(count)


def incidents(url: str) -> list[tuple[Any, ...]]:
    """Their rows."""
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT * FROM incidents ORDER BY id").fetchall()


def stored(url: str) -> list[list[tuple[Any, ...]]]:
    """All that a watch says: rows of incidents, findings, decisions."""
    tables = ("SELECT * FROM findings ORDER BY id", "SELECT * FROM decisions ORDER BY id")
    with psycopg.connect(url) as connection:
        return [incidents(url), *(connection.execute(query).fetchall() for query in tables)]


def metric(agent: AgentProcess, name: str) -> float:
    lines = agent.ask("GET", "/metrics")[1].splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(f"{name} ")))


@pytest.fixture
def proxy(cluster: Space) -> Iterator[FaultyProxy]:
    """The first agent's way to the API server."""
    with FaultyProxy(cluster.plane.url, cluster.plane.ca_file) as proxy:
        yield proxy


def test_a_leader_that_was_paused_in_mid_save_and_woken_overwrites_nothing_says_so_and_stands_by(
    cluster: Space, agent_at: Start, postgres_url: str, proxy: FaultyProxy
) -> None:
    """The store alone tells it: when it wakes the API server does not answer it, so that it cannot ask who leads."""
    (name,) = cluster.add_nodes(1)
    uid = str(cluster.admin.get("Node", name)["metadata"]["uid"])
    shared: dict[str, Any] = {
        "store": {"url": postgres_url},
        "policy": {"mode": "audit"},
        "actions": {"lease_seconds": 12.0},  # as long as the second may stand still below
    }
    first = agent_at("first", inventory={"kubernetes_url": proxy.url}, **shared)
    until(lambda: first.get("/v1/actions")["leads"])
    assert first.send(xid(uid)) == 200
    (opened,) = until(lambda: first.get("/v1/incidents")["incidents"])
    until(lambda: metric(first, "watchstander_store_waiting_rows") == 0)

    with nobody_saves_incidents(postgres_url):
        assert first.send(xid(uid, sequence=2, code=48)) == 200
        until(lambda: waiting(postgres_url))
        first.pause()
    second = agent_at("second", **shared)
    until(lambda: second.get("/v1/actions")["leads"])
    before = incidents(postgres_url)
    assert second.send(xid(uid, sequence=3, code=94)) == 200
    until(lambda: incidents(postgres_url) != before)
    until(lambda: metric(second, "watchstander_store_waiting_rows") == 0)
    second.pause()  # nothing but the old leader could change anything now
    newer = stored(postgres_url)

    silent = Fault("", "/leases/", times=1_000_000, status=503)
    proxy.add(silent)
    first.wake()
    until(lambda: metric(first, "watchstander_store_overtaken_rows_total"))
    until(lambda: metric(first, "watchstander_store_waiting_rows") == 0)
    late = stored(postgres_url)
    said = [line for line in first.log.read_text().splitlines() if "not the leader any more" in line]
    second.wake()
    silent.times = 0
    until(lambda: "leads, this agent stands by" in first.get("/v1/actions")["why_not"])
    refused = first.send(xid(uid, sequence=4, code=48))

    assert opened["id"] in {row[0] for row in newer[0]}
    assert late == newer
    assert "generation 1 is over, agent" in said[0] and "leads under 2;" in said[0]
    assert "rows were not stored, this agent stands by" in said[0]
    assert (refused, second.get("/v1/actions")["generation"]) == (503, 2)


def test_an_agent_that_is_killed_and_started_again_stores_what_it_had_acknowledged(
    cluster: Space, agent_at: Start, postgres_url: str
) -> None:
    """Nobody led in between: what it works through of its ingest log is its own to say, once its old lease lapsed."""
    (name,) = cluster.add_nodes(1)
    uid = str(cluster.admin.get("Node", name)["metadata"]["uid"])
    shared: dict[str, Any] = {"store": {"url": postgres_url}, "policy": {"mode": "audit"}}
    first = agent_at("first", **shared)
    until(lambda: first.get("/v1/actions")["leads"])
    with nobody_saves_incidents(postgres_url):
        assert first.send(xid(uid)) == 200
        until(lambda: waiting(postgres_url))
        first.kill()
    assert incidents(postgres_url) == []
    began = time.monotonic()
    again = agent_at("first", **shared)

    until(lambda: again.get("/v1/incidents")["incidents"])
    assert again.get("/v1/actions")["generation"] == 2
    assert time.monotonic() - began < 60
