"""Exit codes of the `watchstander` command: by what the caller must do, as the errors themselves."""

from collectors.errors import FixConfiguration, GiveUp, RetryLater, WatchError

OK = 0
SAID_NO = 1
"""The command worked and its answer is no: no such incident, a broken audit chain, `--check` found open incidents."""
USAGE = 2
"""The command line itself is wrong (argparse's own code)."""
FIX_CONFIGURATION = 3
"""A setting, file, credential or missing extra must be mended by a person."""
RETRY_LATER = 4
"""The agent is away or busy; the same call may succeed later."""
GIVEN_UP = 5
"""This input is bad and stays bad."""
INTERRUPTED = 130
"""Ctrl-C."""
PIPE_CLOSED = 141
"""Whoever read our output went away first (`| head`): what a shell reports for SIGPIPE."""

MEANINGS: dict[int, str] = {
    OK: "done",
    SAID_NO: "the answer is no: no such incident, a broken audit chain, `--check` found open incidents",
    USAGE: "the command line is wrong",
    FIX_CONFIGURATION: "a setting, file, credential or missing extra must be mended by a person",
    RETRY_LATER: "the agent is away or busy; the same call may succeed later",
    GIVEN_UP: "this input is bad and stays bad",
    INTERRUPTED: "interrupted (Ctrl-C)",
    PIPE_CLOSED: "the reader of the output went away first, quietly",
}
"""For docs/cli.md; a test holds the two together."""


class NotFound(GiveUp):
    """The agent has no such thing."""


def exit_code(error: WatchError) -> int:
    """The code for an error, by its class."""
    if isinstance(error, NotFound):
        return SAID_NO
    if isinstance(error, FixConfiguration):
        return FIX_CONFIGURATION
    return RETRY_LATER if isinstance(error, RetryLater) else GIVEN_UP
