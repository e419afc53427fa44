"""Attempts of jobs, and the account of each one's time. What is not live has rows of its own."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, Column, Connection, Row, func, or_, select, tuple_
from sqlmodel import Field, SQLModel

from agent.jobs.record import AttemptRecord
from agent.store import documents
from agent.store.documents import column_text
from agent.store.tables.base import nanoseconds, slices, table_of, text, upsert
from collectors.model import Origin


class AttemptRow(SQLModel, table=True):
    """One attempt as of `updated_ns`."""

    __tablename__ = "job_attempts"

    origin: str = text(primary_key=True)
    cluster: str = text(primary_key=True)
    job: str = text(primary_key=True)
    number: int = Field(sa_column=Column(BigInteger, primary_key=True, nullable=False, autoincrement=False))
    name: str = text(index=True)
    started_ns: int = nanoseconds()
    updated_ns: int = nanoseconds(index=True)
    document: str = text()


ATTEMPTS = table_of(AttemptRow)
_KEY = (ATTEMPTS.c.origin, ATTEMPTS.c.cluster, ATTEMPTS.c.job)
_DOCUMENT = (ATTEMPTS.c.job, ATTEMPTS.c.number, ATTEMPTS.c.document)


def save(connection: Connection, attempts: Sequence[AttemptRecord]) -> None:
    """Insert or replace."""
    rows = [
        {
            "origin": attempt.origin.value,
            "cluster": column_text(attempt.cluster),
            "job": column_text(attempt.job),
            "number": attempt.number,
            "name": column_text(attempt.name),
            "started_ns": attempt.started_ns,
            "updated_ns": attempt.as_of_ns,
            "document": documents.encode(attempt),
        }
        for attempt in attempts
    ]
    upsert(connection, ATTEMPTS, rows)


def newest(connection: Connection, *, cluster: str | None, origin: Origin | None, limit: int) -> list[AttemptRecord]:
    """The newest attempt of every job, those changed last first."""
    last = select(*_KEY, func.max(ATTEMPTS.c.number).label("number"), func.max(ATTEMPTS.c.updated_ns).label("at"))
    if cluster is not None:
        last = last.where(ATTEMPTS.c.cluster == column_text(cluster))
    if origin is not None:
        last = last.where(ATTEMPTS.c.origin == Origin(origin).value)
    jobs = last.group_by(*_KEY).order_by(func.max(ATTEMPTS.c.updated_ns).desc(), *_KEY).limit(limit).subquery()
    same = (
        (ATTEMPTS.c.origin == jobs.c.origin)
        & (ATTEMPTS.c.cluster == jobs.c.cluster)
        & (ATTEMPTS.c.job == jobs.c.job)
        & (ATTEMPTS.c.number == jobs.c.number)
    )
    query = select(*_DOCUMENT).join(jobs, same).order_by(jobs.c["at"].desc(), *_KEY)
    return [_value(row) for row in connection.execute(query)]


def of_jobs(connection: Connection, name_or_id: str, *, cluster: str | None, limit: int) -> list[AttemptRecord]:
    """All attempts of the jobs of this name or id, newest attempts first; at most `limit`."""
    wanted = column_text(name_or_id)
    jobs = select(*_KEY).where(or_(ATTEMPTS.c.name == wanted, ATTEMPTS.c.job == wanted))
    if cluster is not None:
        jobs = jobs.where(ATTEMPTS.c.cluster == column_text(cluster))
    keys = connection.execute(jobs.distinct()).all()
    found: list[AttemptRecord] = []
    for some in slices([tuple(key) for key in keys]):
        query = (
            select(*_DOCUMENT)
            .where(tuple_(*_KEY).in_(some))
            .order_by(ATTEMPTS.c.started_ns.desc(), ATTEMPTS.c.number.desc())
            .limit(limit)
        )
        found += [_value(row) for row in connection.execute(query)]
    return sorted(found, key=lambda a: (-a.started_ns, -a.number))[:limit]


def _value(row: Row[*tuple[Any, ...]]) -> AttemptRecord:
    return documents.decode(row.document, AttemptRecord, f"attempt {row.number} of job {row.job}")
