"""Training jobs that have been seen at work. What is not live has rows of its own."""

from collections.abc import Sequence

from sqlalchemy import BigInteger, Column, Connection, case, func, select
from sqlmodel import Field, SQLModel

from agent.store.documents import column_text
from agent.store.rows import JobSeen
from agent.store.tables.base import insert, nanoseconds, table_of, text, upsert
from collectors.model import Origin


class JobRow(SQLModel, table=True):
    """A job as last seen."""

    __tablename__ = "jobs"

    origin: str = text(primary_key=True)
    cluster: str = text(primary_key=True)
    id: str = text(primary_key=True)
    name: str = text()
    first_seen_ns: int = nanoseconds()
    last_seen_ns: int = nanoseconds(index=True)
    world_size: int | None = Field(sa_column=Column(BigInteger, nullable=True))
    last_step: int | None = Field(sa_column=Column(BigInteger, nullable=True))
    last_step_ns: int | None = nanoseconds(nullable=True)
    state: str = text()


JOBS = table_of(JobRow)


def save(connection: Connection, jobs: Sequence[JobSeen]) -> None:
    """Insert or update; what is known is not overwritten by what is not."""
    new = insert(connection, JOBS).excluded
    special = {
        "first_seen_ns": case(
            (new.first_seen_ns < JOBS.c.first_seen_ns, new.first_seen_ns), else_=JOBS.c.first_seen_ns
        ),
        "last_seen_ns": case((new.last_seen_ns > JOBS.c.last_seen_ns, new.last_seen_ns), else_=JOBS.c.last_seen_ns),
        "state": case((new.state == "", JOBS.c.state), else_=new.state),
    } | {name: func.coalesce(new[name], JOBS.c[name]) for name in ("world_size", "last_step", "last_step_ns")}
    rows = [
        {
            "origin": job.origin.value,
            "cluster": column_text(job.cluster),
            "id": column_text(job.id),
            "name": column_text(job.name),
            "first_seen_ns": job.first_seen_ns,
            "last_seen_ns": job.last_seen_ns,
            "world_size": job.world_size,
            "last_step": job.last_step,
            "last_step_ns": job.last_step_ns,
            "state": column_text(job.state),
        }
        for job in jobs
    ]
    upsert(connection, JOBS, rows, special)


def listed(connection: Connection, cluster: str | None) -> list[JobSeen]:
    """The one seen last first."""
    query = select(JOBS).order_by(JOBS.c.last_seen_ns.desc(), JOBS.c.cluster, JOBS.c.id, JOBS.c.origin)
    if cluster is not None:
        query = query.where(JOBS.c.cluster == column_text(cluster))
    found = []
    for row in connection.execute(query).mappings():
        values = dict(row)
        found.append(JobSeen(**values | {"origin": Origin(values["origin"])}))
    return found
