"""`missed`: why nothing was said about a subject at a moment: each detector's look, live now or in a recording then."""

import re
from pathlib import Path

from agent.replay import NATIVE_DEPTH, batches_of, open_recording, tell_inventory
from agent.watch import Watch
from collectors.errors import GiveUp, RetryLater
from collectors.model import Origin, Subject, SubjectKind
from detectors.looks import LookRow, explain_look
from detectors.model import Inventory

_CARD = re.compile(r"(?:(?P<node>.+)/)?gpu ?(?P<index>\d{1,4})", re.IGNORECASE)
_MOST_NAMED = 6


class NothingCalled(GiveUp):
    """No subject has this name or key."""


def look_at(watch: Watch, wanted: str, now_ns: int) -> list[LookRow]:
    """All detectors' look at a subject, by key or by name, as the watch stands; it is not changed.

    Raises GiveUp where nothing or several things are called so, RetryLater where the watch changed under the reading.
    """
    subject = subject_named(watch.engine.inventory, wanted)
    try:
        return explain_look(watch.engine, subject, now_ns)
    except (IndexError, KeyError, RuntimeError):
        # the watch works on in its own thread meanwhile: what grows is read at the wrong moment once in a while
        raise RetryLater(f"the watch was at work on {wanted[:60]}: ask again") from None


def look_back(folder: Path, wanted: str, at_ns: int, *, native: bool = False) -> tuple[Subject, list[LookRow]]:
    """The same at a moment of a recording or a bundle: it is played up to then, as the watch would have seen it.

    Raises GiveUp where the moment lies outside the recording, and as `look_at`.
    """
    watch = watch_at(folder, at_ns, native=native)
    subject = subject_named(watch.engine.inventory, wanted)
    return subject, explain_look(watch.engine, subject, at_ns)


def watch_at(folder: Path, at_ns: int, *, native: bool = False) -> Watch:
    """A watch that has seen a recording up to a moment; GiveUp where that lies outside."""
    recording = open_recording(folder)
    if not recording.start_ns <= at_ns <= recording.end_ns:
        raise GiveUp(
            f"{folder} runs from {recording.start_ns / 1e9:.0f} to {recording.end_ns / 1e9:.0f} (Unix s):"
            f" {at_ns / 1e9:.0f} lies outside"
        )
    watch = Watch(Origin.REPLAY, recording.cluster, depth=NATIVE_DEPTH if native else 10)
    tell_inventory(watch.engine.inventory, recording, recording.start_ns)
    for now_ns, batch in batches_of(recording, native=native, until_ns=at_ns):
        watch.advance(now_ns)
        watch.receive(batch, now_ns)
    watch.advance(at_ns + 1)
    return watch


def subject_named(inventory: Inventory, wanted: str) -> Subject:
    """By key (`cluster/kind/id`) or by what people call it: `node-7`, `node-7/gpu3`, `gpu3`, a job's name.

    Raises GiveUp where nothing is called so, or several things are.
    """
    parts = wanted.split("/", 2)
    if len(parts) == 3 and parts[1] in set(SubjectKind):
        key = Subject(parts[0], SubjectKind(parts[1]), parts[2])
        if key in inventory.facts:
            return key
    found = [subject for subject in list(inventory.facts) if _is_called(inventory, subject, wanted)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise NothingCalled(
            f"nothing here is called {wanted[:60]!r}: write cluster/kind/id, node-7, node-7/gpu3 or a job"
        )
    named = ", ".join(str(subject) for subject in sorted(found)[:_MOST_NAMED])
    more = ", ..." if len(found) > _MOST_NAMED else ""
    raise GiveUp(f"{wanted[:60]!r} is the name of {len(found)} things: {named}{more}; write the key of one")


def _is_called(inventory: Inventory, subject: Subject, wanted: str) -> bool:
    if subject.kind is SubjectKind.GPU:
        card = _CARD.fullmatch(wanted)
        if card is not None:
            names = inventory.names(subject)
            return names.get("gpu") == card["index"] and card["node"] in (None, names.get("node"))
    return wanted in (subject.id, inventory.name_of(subject))
