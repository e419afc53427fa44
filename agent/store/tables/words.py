"""What people said about incidents, numbered upwards, and what they think of them.

A word that changes an incident is kept once for each incident that it changes (a merge changes two). The highest
number of an incident tells which values of it are out of date: the watch numbers what it has heard.
"""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, func, select
from sqlmodel import SQLModel

from agent.store import documents
from agent.store.documents import column_text
from agent.store.rows import Feedback, Judgement
from agent.store.tables.base import nanoseconds, slices, table_of, text, upsert
from detectors.model import Word, WordKind

MOST_WORDS = 200
"""Of one incident, the newest: nobody reads more."""


class WordRow(SQLModel, table=True):
    """A word, once for each incident that it changed."""

    __tablename__ = "incident_words"

    sequence: int = nanoseconds(primary_key=True)
    incident_id: str = text(primary_key=True, index=True)
    kind: str = text()
    document: str = text()


class FeedbackRow(SQLModel, table=True):
    """What one person thinks of one incident; a second word replaces the first."""

    __tablename__ = "feedback"

    incident_id: str = text(primary_key=True)
    who: str = text(primary_key=True)
    judgement: str = text()
    time_ns: int = nanoseconds()
    note: str = text()


WORDS = table_of(WordRow)
FEEDBACK = table_of(FeedbackRow)


class Said(NamedTuple):
    """A word with its number."""

    sequence: int
    word: Word


def next_sequence(connection: Connection) -> int:
    """The number of the next word. Two writers that take the same one collide on the primary key or on the audit."""
    newest = connection.execute(select(func.max(WORDS.c.sequence))).scalar()
    return int(newest or 0) + 1


def add(connection: Connection, word: Word, sequence: int, incidents: Sequence[str]) -> None:
    """Keep a word, once for each incident that it changed."""
    rows = [
        {
            "sequence": sequence,
            "incident_id": column_text(incident),
            "kind": word.kind.value,
            "document": documents.encode(word),
        }
        for incident in incidents
    ]
    connection.execute(WORDS.insert(), rows)


def newest_of(connection: Connection, incidents: Sequence[str]) -> dict[str, int]:
    """The number of the last word about each incident; those that nobody spoke about are left out."""
    found: dict[str, int] = {}
    for some in slices([column_text(id_) for id_ in incidents]):
        query = (
            select(WORDS.c.incident_id, func.max(WORDS.c.sequence).label("newest"))
            .where(WORDS.c.incident_id.in_(some))
            .group_by(WORDS.c.incident_id)
        )
        found.update({row.incident_id: row.newest for row in connection.execute(query)})
    return found


def about(connection: Connection, incident: str) -> list[Said]:
    """What was said about one incident, oldest first, at most the newest MOST_WORDS."""
    query = (
        select(WORDS.c.sequence, WORDS.c.document)
        .where(WORDS.c.incident_id == column_text(incident))
        .order_by(WORDS.c.sequence.desc())
        .limit(MOST_WORDS)
    )
    rows = connection.execute(query).all()
    return [Said(row.sequence, _word(row.sequence, row.document)) for row in reversed(rows)]


def apart(connection: Connection, incidents: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of these incidents that people have split and not merged again since."""
    said: dict[int, Word] = {}
    kinds = (WordKind.SPLIT.value, WordKind.MERGE.value)
    for some in slices([column_text(id_) for id_ in incidents]):
        query = select(WORDS.c.sequence, WORDS.c.document).where(WORDS.c.incident_id.in_(some), WORDS.c.kind.in_(kinds))
        said.update({row.sequence: _word(row.sequence, row.document) for row in connection.execute(query)})
    pairs: dict[frozenset[str], tuple[str, str]] = {}
    for _, word in sorted(said.items()):
        pair = frozenset((word.incident, word.other))
        if word.kind is WordKind.SPLIT:
            pairs[pair] = (word.incident, word.other)
        else:
            pairs.pop(pair, None)
    return list(pairs.values())


def judge(connection: Connection, feedback: Feedback) -> None:
    """Keep what a person thinks of an incident."""
    row = {
        "incident_id": column_text(feedback.incident),
        "who": column_text(feedback.who),
        "judgement": feedback.judgement.value,
        "time_ns": feedback.time_ns,
        "note": column_text(feedback.note),
    }
    upsert(connection, FEEDBACK, [row])


def feedback_on(connection: Connection, incident: str) -> list[Feedback]:
    """What people think of one incident, oldest first, at most the newest MOST_WORDS."""
    query = (
        select(FEEDBACK)
        .where(FEEDBACK.c.incident_id == column_text(incident))
        .order_by(FEEDBACK.c.time_ns.desc(), FEEDBACK.c.who)
        .limit(MOST_WORDS)
    )
    rows = connection.execute(query).all()
    return [
        Feedback(row.incident_id, Judgement(row.judgement), row.who, row.time_ns, row.note) for row in reversed(rows)
    ]


def _word(sequence: int, document: str) -> Word:
    return documents.decode(document, Word, f"word {sequence} about an incident")
