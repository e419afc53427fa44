"""Readings: compressed chunks, each of the metrics and subjects that its layout names.

A layout (which metrics of which subjects, in which order) stays the same for a node's lifetime or so; it is written
once, and its chunks carry nothing but numbers. `reading_members` finds the layouts that a subject is part of.
"""

import hashlib
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from sqlalchemy import Column, Connection, Integer, case, delete, select
from sqlmodel import Field, SQLModel

from agent.store import chunks, documents
from agent.store.chunks import ReadingsChunk
from agent.store.documents import column_text
from agent.store.tables.base import binary, insert, nanoseconds, table_of, text, upsert
from collectors.errors import GiveUp
from collectors.model import CATALOGUE, COUNTER_ABSENT, Subject


class ReadingLayoutRow(SQLModel, table=True):
    """Which metrics of which subjects, in order."""

    __tablename__ = "reading_layouts"

    id: int | None = Field(default=None, sa_column=Column(Integer, primary_key=True, autoincrement=True))
    digest: str = text(unique=True)
    document: str = text()


class ReadingMemberRow(SQLModel, table=True):
    """A subject of a layout."""

    __tablename__ = "reading_members"

    cluster: str = text(primary_key=True)
    subject_kind: str = text(primary_key=True)
    subject_id: str = text(primary_key=True)
    layout_id: int = Field(sa_column=Column(Integer, primary_key=True, index=True, autoincrement=False))


class ReadingChunkRow(SQLModel, table=True):
    """A stretch of time of one layout."""

    __tablename__ = "reading_chunks"

    layout_id: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    start_ns: int = nanoseconds(primary_key=True)
    """Time of the first sample."""
    end_ns: int = nanoseconds(index=True)
    """Time of the last sample."""
    payload: bytes = binary()


_ASKED_AT_ONCE = 200

LAYOUTS = table_of(ReadingLayoutRow)
MEMBERS = table_of(ReadingMemberRow)
CHUNKS = table_of(ReadingChunkRow)


class _Layout(msgspec.Struct, frozen=True):
    subjects: tuple[Subject, ...]
    metrics: tuple[str, ...]


def save(connection: Connection, some: Sequence[ReadingsChunk]) -> None:
    """Insert chunks; of two with the same layout and start the one that reaches further stays."""
    layouts: dict[_Layout, int] = {}
    rows = []
    for chunk in some:
        chunk.check()
        layout = _Layout(chunk.subjects, chunk.metrics)
        if layout not in layouts:
            layouts[layout] = _layout_id(connection, layout)
        rows.append(
            {
                "layout_id": layouts[layout],
                "start_ns": int(chunk.times_ns[0]),
                "end_ns": int(chunk.times_ns[-1]),
                "payload": chunks.encode(chunk),
            }
        )
    new = insert(connection, CHUNKS).excluded
    further = new.end_ns >= CHUNKS.c.end_ns
    special = {name: case((further, new[name]), else_=CHUNKS.c[name]) for name in ("end_ns", "payload")}
    upsert(connection, CHUNKS, rows, special)


def of_metric(
    connection: Connection, subject: Subject, metric: str, since_ns: int, until_ns: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32] | npt.NDArray[np.float64]]:
    """Times and values from `since_ns` until before `until_ns`, ascending, without absent ones.

    Gauges are float32; counters float64 in the catalogue's unit.
    """
    query = (
        select(LAYOUTS.c.document, CHUNKS.c.payload)
        .join(MEMBERS, MEMBERS.c.layout_id == LAYOUTS.c.id)
        .join(CHUNKS, CHUNKS.c.layout_id == LAYOUTS.c.id)
        .where(
            MEMBERS.c.cluster == column_text(subject.cluster),
            MEMBERS.c.subject_kind == subject.kind.value,
            MEMBERS.c.subject_id == column_text(subject.id),
            CHUNKS.c.start_ns < until_ns,
            CHUNKS.c.end_ns >= since_ns,
        )
        .order_by(CHUNKS.c.start_ns)
    )
    known = CATALOGUE.get(metric)
    scale = known.scale if known else 1.0
    times: list[npt.NDArray[np.int64]] = [np.empty(0, np.int64)]
    values: list[npt.NDArray[Any]] = []
    for document, payload in connection.execute(query):
        layout = documents.decode(document, _Layout, "a layout of readings")
        if metric not in layout.metrics or subject not in layout.subjects:
            continue
        chunk = chunks.decode(payload, layout.subjects, layout.metrics)
        series = chunk.values[:, layout.metrics.index(metric), layout.subjects.index(subject)]
        there = series != COUNTER_ABSENT if chunk.counters else ~np.isnan(series)
        there &= (chunk.times_ns >= since_ns) & (chunk.times_ns < until_ns)
        times.append(chunk.times_ns[there])
        values.append(series[there].astype(np.float64) * scale if chunk.counters else series[there].astype(np.float32))
    if not values:
        return times[0], np.empty(0, np.float32)
    # Chunks overlap where a stretch was gathered again after a restart: each time counts once.
    moments, first = np.unique(np.concatenate(times), return_index=True)
    return moments, np.concatenate(values)[first]


def chunks_of(
    connection: Connection, subjects: Collection[Subject], since_ns: int, until_ns: int
) -> Iterator[ReadingsChunk]:
    """Every chunk that holds readings of any of these subjects and overlaps the stretch, by its start."""
    layouts: dict[int, _Layout] = {}
    ids: dict[tuple[str, str], list[str]] = {}
    for subject in subjects:
        ids.setdefault((subject.cluster, subject.kind.value), []).append(column_text(subject.id))
    for (cluster, kind), several in ids.items():
        for at in range(0, len(several), _ASKED_AT_ONCE):
            query = (
                select(LAYOUTS.c.id, LAYOUTS.c.document)
                .join(MEMBERS, MEMBERS.c.layout_id == LAYOUTS.c.id)
                .where(
                    MEMBERS.c.cluster == column_text(cluster),
                    MEMBERS.c.subject_kind == kind,
                    MEMBERS.c.subject_id.in_(several[at : at + _ASKED_AT_ONCE]),
                )
            )
            for id_, document in connection.execute(query):
                if id_ not in layouts:
                    layouts[id_] = documents.decode(document, _Layout, "a layout of readings")
    for id_, layout in sorted(layouts.items()):
        found = (
            select(CHUNKS.c.payload)
            .where(CHUNKS.c.layout_id == id_, CHUNKS.c.start_ns < until_ns, CHUNKS.c.end_ns >= since_ns)
            .order_by(CHUNKS.c.start_ns)
        )
        for (payload,) in connection.execute(found):
            yield chunks.decode(payload, layout.subjects, layout.metrics)


def drop_unused_layouts(connection: Connection) -> None:
    """Remove layouts that no chunk is left of."""
    used = select(CHUNKS.c.layout_id).where(CHUNKS.c.layout_id == LAYOUTS.c.id).exists()
    unused = [row.id for row in connection.execute(select(LAYOUTS.c.id).where(~used))]
    for id_ in unused:
        connection.execute(delete(MEMBERS).where(MEMBERS.c.layout_id == id_))
        connection.execute(delete(LAYOUTS).where(LAYOUTS.c.id == id_))


def _layout_id(connection: Connection, layout: _Layout) -> int:
    document = documents.encode(layout)
    digest = hashlib.blake2b(document.encode(), digest_size=16).hexdigest()
    query = select(LAYOUTS.c.id).where(LAYOUTS.c.digest == digest)
    known = connection.execute(query).scalar()
    if known is not None:
        return int(known)
    row = {"digest": digest, "document": document}
    connection.execute(insert(connection, LAYOUTS).values(row).on_conflict_do_nothing())
    made = connection.execute(query).scalar()
    if made is None:  # cannot be: it was there or has just been written
        raise GiveUp("store: a layout of readings was not kept")
    members = [
        {
            "cluster": column_text(subject.cluster),
            "subject_kind": subject.kind.value,
            "subject_id": column_text(subject.id),
            "layout_id": int(made),
        }
        for subject in layout.subjects
    ]
    connection.execute(insert(connection, MEMBERS).on_conflict_do_nothing(), members)
    return int(made)
