"""Fixtures of the agent's own tests; `running_agent` has what they are made of."""

import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from migrated_stores import migrated
from running_agent import RunningAgent
from starlette.routing import Route

from agent.settings import Settings

sys.path.insert(0, str(Path(__file__).parents[1] / "store"))
from own_postgres import postgres_server

__all__ = ["postgres_server"]


@pytest.fixture
def agent_settings() -> Settings:
    return Settings()


@pytest.fixture
def agent_routes() -> list[Route] | None:
    """None but the agent's own doors."""
    return []


@pytest.fixture
def running(tmp_path: Path, agent_settings: Settings, agent_routes: list[Route] | None) -> Iterator[RunningAgent]:
    migrated(tmp_path / "data" / "watchstander.db")
    listen = msgspec.structs.replace(agent_settings.listen, address="127.0.0.1:0")
    agent = RunningAgent(tmp_path / "data", msgspec.structs.replace(agent_settings, listen=listen), routes=agent_routes)
    agent.start()
    try:
        yield agent
    finally:
        agent.stop()
