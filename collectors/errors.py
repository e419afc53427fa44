"""Errors by what the caller must do.

    WatchError
    ├── RetryLater         the same call may succeed later: keep the data and try again
    ├── GiveUp             the same call will never succeed: put the data aside, say why, go on with the next
    └── FixConfiguration   a person must change a setting; the message says which, where, and to what

The tree stands on the lowest floor so that all floors share it.
"""


class WatchError(Exception):
    """Every error that Watchstander raises on purpose."""


class RetryLater(WatchError):  # noqa: N818 - named by what the caller must do
    """The other side is away or busy; `after_seconds` is its own word on when to come back, where it gave one."""

    def __init__(self, message: str, after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.after_seconds = after_seconds


class GiveUp(WatchError):  # noqa: N818
    """This input is bad and stays bad."""


class FixConfiguration(WatchError):  # noqa: N818
    """A setting, file or credential is wrong."""
