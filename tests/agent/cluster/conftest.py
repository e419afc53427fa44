"""Fixtures of the view's tests on a real control plane."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from real_view import Seen

from testcluster.control_plane import ControlPlane


@pytest.fixture
def look() -> Iterator[Callable[..., Seen]]:
    """`look(plane)`: a feed at work there; ended with the test."""
    made: list[Seen] = []

    def begin(plane: ControlPlane, **more: Any) -> Seen:
        made.append(Seen(plane, **more))
        return made[-1]

    yield begin
    for one in made:
        one.feed.stop()
