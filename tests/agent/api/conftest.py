from collections.abc import Iterator

import pytest
from served_agent import ServedAgent, served


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedAgent]:
    with served(tmp_path_factory.mktemp("agent")) as agent:
        yield agent
