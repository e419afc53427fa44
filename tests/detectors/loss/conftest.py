"""Jobs for the tests of the loss detectors."""

import pytest
from loss_job_log import Log, steady


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def warm() -> Log:
    """A job with 200 sound lines behind it."""
    return Log().lines(steady(200))
