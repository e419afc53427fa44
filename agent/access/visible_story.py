"""What belongs to one incident, as one identity may see it: events, people's words, its like."""

from dataclasses import dataclass

from msgspec.structs import replace

from agent.access.cut import Seen
from agent.access.visible import Visible
from agent.advisor.explain import Explanation, explain
from agent.api.nearby import nearby_events
from agent.incidents.context import Context, context_of, ended
from agent.incidents.namespaces import of_event
from agent.store.rows import Feedback
from collectors.model import Event
from detectors.model import Word


@dataclass(frozen=True, slots=True)
class Story:
    """All of it, and how much of each is hidden."""

    events: list[Event]
    events_hidden: int
    words: list[Word]
    feedback: list[Feedback]
    words_hidden: int
    """Words and judgements."""
    context: Context
    similar_hidden: int


def story_of(visible: Visible, seen: Seen, now_ns: int) -> Story:
    """`now_ns`: by the clock that the incident goes by."""
    events, events_hidden = events_of(visible, seen)
    said = visible.store.said(seen.incident.id)
    feedback = visible.store.feedback(seen.incident.id)
    words_hidden = 0
    if not seen.whole:
        # what people write of an incident speaks of all of it
        words_hidden, said, feedback = len(said) + len(feedback), [], []
    elif visible.limited:
        said = [word if not word.other or visible.by_id(word.other) else replace(word, other="") for word in said]
    context = context_of(visible.store, seen.incident, now_ns)
    cut = _similar(visible, context)
    return Story(
        events,
        events_hidden,
        said,
        feedback,
        words_hidden,
        cut,
        len(context.similar) - len(cut.similar),
    )


def explanation_of(visible: Visible, seen: Seen) -> Explanation:
    """What an incident may be, by what may be read of it; nothing is made up where the probable root is hidden."""
    if seen.root_hidden:
        return Explanation(f"{seen.incident.title}. The probable cause is not among what you may read.", (), (), ())
    return explain(seen.incident, seen.findings, visible.decisions(seen))


def events_of(visible: Visible, seen: Seen) -> tuple[list[Event], int]:
    """Events around an incident, in order of time; and how many may not be read."""
    found = nearby_events(visible.store, seen.incident, seen.findings)
    if not visible.limited:
        return found, 0
    mine = [event for event in found if visible.sight.whole(of_event(event))]
    every = found if seen.whole else nearby_events(visible.store, seen.stored, visible.every(seen))
    return mine, max(0, len(every) - len(mine))


def _similar(visible: Visible, context: Context) -> Context:
    if not visible.limited:
        return context
    kept = []
    for one in context.similar:
        seen = visible.of(one.incident)
        if seen is not None:
            how = one.ended if seen.whole else ended(seen.incident, ())
            kept.append(type(one)(seen.incident, one.shares, how))
    return Context(context.peers, context.base_rate, tuple(kept))
