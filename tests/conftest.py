"""How thoroughly property tests look: `make test` takes hypothesis's own number of examples, the same in every run, so
that what is red is what was changed; `make quick` fewer, and others each time.

No deadline and no complaint about slowness in either: a busy machine is no fault of the code.
"""

import gc

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["cluster_fixtures"]

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.register_profile("full", PATIENT, derandomize=True)
settings.register_profile("quick", PATIENT, max_examples=10, stateful_step_count=20)
settings.load_profile("full")


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Modules and collected tests stay to the end: the garbage collector need not walk through them again and again."""
    gc.freeze()
