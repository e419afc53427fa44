import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# The story and the server that API, command line and page are tested with.
sys.path.insert(0, str(Path(__file__).parents[1] / "api"))

from served_agent import ServedAgent, served


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedAgent]:
    with served(tmp_path_factory.mktemp("agent")) as agent:
        yield agent
