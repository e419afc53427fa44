from collections.abc import Iterator
from pathlib import Path

import pytest
from served_agent import ServedAgent, served


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedAgent]:
    with served(tmp_path_factory.mktemp("agent")) as agent:
        yield agent


@pytest.fixture
def own_agent(tmp_path: Path) -> Iterator[ServedAgent]:
    """One that nobody else asks: for a test that changes something."""
    with served(tmp_path) as agent:
        yield agent
