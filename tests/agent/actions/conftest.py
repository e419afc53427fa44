"""Real agents in processes of their own, beside a real API server; and a PostgreSQL for those that share a store."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from agent_process import AgentProcess

from testcluster.space import Space

sys.path.insert(0, str(Path(__file__).parents[1] / "store"))
from own_postgres import PostgresServer, postgres_server

__all__ = ["postgres_server"]


@pytest.fixture
def agent_at(cluster: Space, tmp_path: Path) -> Iterator[Callable[..., AgentProcess]]:
    """Starts agents beside the cluster of this test; they are ended with it."""
    started: list[AgentProcess] = []

    def start(name: str = "agent", **settings: Any) -> AgentProcess:
        agent = AgentProcess.start(tmp_path / name, cluster, **settings)
        started.append(agent)
        return agent

    yield start
    for agent in started:
        agent.kill()
        print(agent.log.read_text()[-4000:])  # pytest shows it where the test failed


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """An empty database."""
    name = postgres_server.make_database()
    yield postgres_server.url(name)
    postgres_server.drop_database(name)
