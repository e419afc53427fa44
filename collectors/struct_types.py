"""What msgspec must know of our Structs, learnt before threads need it.

msgspec learns the fields of a Struct when one is decoded for the first time. Two threads that do so at once end the
whole process (a null pointer, with 0.22 on Python 3.11): Python code runs in between, so the interpreter's lock is no
help.
"""

from collections.abc import Iterator

import msgspec

OURS = ("collectors", "detectors", "policies", "agent")
"""Packages whose Structs are meant."""


def learn_structs() -> frozenset[str]:
    """Learn every Struct of ours that has been imported; their names, `agent.inventory.objects.Page` say.

    To be called before threads start that decode: 5 ms for 140 of them, and nothing is done twice. TypeError or
    NameError where one cannot be decoded at all.
    """
    ours = {kind for kind in _below(msgspec.Struct) if kind.__module__.partition(".")[0] in OURS}
    for kind in ours:
        msgspec.json.Decoder(kind)
    return frozenset(f"{kind.__module__}.{kind.__qualname__}" for kind in ours)


def _below(kind: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    for below in kind.__subclasses__():
        yield below
        yield from _below(below)
