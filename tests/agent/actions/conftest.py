"""Real agents in processes of their own, beside a real API server; and a PostgreSQL for those that share a store."""

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from agent_process import AgentProcess

from testcluster.space import Space

_STORE_CONFTEST = Path(__file__).parents[1] / "store" / "conftest.py"


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
def postgres_url() -> Iterator[str]:
    """An empty database of a server of our own."""
    spec = importlib.util.spec_from_file_location("store_conftest", _STORE_CONFTEST)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for server in module.postgres_server.__wrapped__():
        yield server.url(server.make_database())
