import pytest
from sending_helpers import FakeClock, FakeDisk


@pytest.fixture
def disk() -> FakeDisk:
    return FakeDisk()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()
