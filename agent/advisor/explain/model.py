"""What an explanation is made of."""

import msgspec


class Cause(msgspec.Struct, frozen=True):
    """One thing that it may be, or that it is not."""

    text: str
    """One or two sentences, with the incident's own figures."""
    confidence: str
    """In words: `almost certain`, `likely`, `possible`, `unlikely` or `ruled out`."""
    evidence: tuple[str, ...] = ()
    """What it rests on: references `<finding id>#<place in its evidence>`, or a finding's id for the whole of it."""


class Explanation(msgspec.Struct, frozen=True):
    """The deterministic diagnosis of one incident. Text from logs inside it is quoted and hostile."""

    summary: str
    """What happened, where, since when, and what was decided."""
    causes: tuple[Cause, ...]
    """What it most likely is first, then what it could also be, then what it is not."""
    check_next: tuple[str, ...]
    """What would settle it, the cheapest first."""
    do: tuple[str, ...]
    """What to do, the first thing first."""


CONFIDENCES = ("almost certain", "likely", "possible", "unlikely", "ruled out")
"""The words of `Cause.confidence`, from yes to no."""
