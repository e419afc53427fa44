"""What every source of log events has in common."""

from typing import Protocol

from collectors.model import Event


class LogSource(Protocol):
    """Something that is asked again and again what it has seen, and never waits."""

    def poll(self, now_ns: int) -> list[Event]:
        """Events since the last call, in the order in which they were written. `now_ns`: the node's clock, Unix ns."""
        ...
