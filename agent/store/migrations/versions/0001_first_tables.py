"""What the watch found, what people said, nodes and jobs.

Revision 0001.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Text

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what this revision brings."""
    op.create_table(
        "audit",
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("time_ns", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("actor", Text(), nullable=False),
        sa.Column("what", Text(), nullable=False),
        sa.Column("about", Text(), nullable=False),
        sa.Column("detail", Text(), nullable=False),
        sa.Column("previous_hash", Text(), nullable=False),
        sa.Column("hash", Text(), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_audit")),
        sa.UniqueConstraint("hash", name=op.f("uq_audit_hash")),
        sa.UniqueConstraint("previous_hash", name=op.f("uq_audit_previous_hash")),
    )
    op.create_index(op.f("ix_audit_about"), "audit", ["about"])
    op.create_table(
        "decisions",
        sa.Column("id", Text(), nullable=False),
        sa.Column("incident_id", Text(), nullable=False),
        sa.Column("decided_ns", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("document", Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decisions")),
    )
    op.create_index(op.f("ix_decisions_decided_ns"), "decisions", ["decided_ns"])
    op.create_index(op.f("ix_decisions_incident_id"), "decisions", ["incident_id"])
    op.create_table(
        "events",
        sa.Column("time_ns", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("cluster", Text(), nullable=False),
        sa.Column("subject_kind", Text(), nullable=False),
        sa.Column("subject_id", Text(), nullable=False),
        sa.Column("kind", Text(), nullable=False),
        sa.Column("source", Text(), nullable=False),
        sa.Column("document", Text(), nullable=False),
        sa.PrimaryKeyConstraint("time_ns", "digest", name=op.f("pk_events")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_events_cluster_subject_kind_subject_id_time_ns"),
        "events",
        ["cluster", "subject_kind", "subject_id", "time_ns"],
    )
    op.create_table(
        "findings",
        sa.Column("id", Text(), nullable=False),
        sa.Column("cluster", Text(), nullable=False),
        sa.Column("opened_ns", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("cleared_ns", sa.BigInteger(), autoincrement=False, nullable=True),
        sa.Column("incident_id", Text(), nullable=True),
        sa.Column("document", Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_findings")),
    )
    op.create_index(op.f("ix_findings_cleared_ns"), "findings", ["cleared_ns"])
    op.create_index(op.f("ix_findings_incident_id"), "findings", ["incident_id"])
    op.create_index(op.f("ix_findings_opened_ns"), "findings", ["opened_ns"])
    op.create_table(
        "incidents",
        sa.Column("id", Text(), nullable=False),
        sa.Column("state", Text(), nullable=False),
        sa.Column("cluster", Text(), nullable=False),
        sa.Column("origin", Text(), nullable=False),
        sa.Column("opened_ns", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("updated_ns", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("acknowledged_ns", sa.BigInteger(), autoincrement=False, nullable=True),
        sa.Column("acknowledged_by", Text(), nullable=True),
        sa.Column("document", Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_incidents")),
    )
    op.create_index(op.f("ix_incidents_opened_ns"), "incidents", ["opened_ns"])
    op.create_index(op.f("ix_incidents_state"), "incidents", ["state"])
    op.create_index(op.f("ix_incidents_updated_ns"), "incidents", ["updated_ns"])
    op.create_table(
        "jobs",
        sa.Column("origin", Text(), nullable=False),
        sa.Column("cluster", Text(), nullable=False),
        sa.Column("id", Text(), nullable=False),
        sa.Column("name", Text(), nullable=False),
        sa.Column("first_seen_ns", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("last_seen_ns", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("world_size", sa.BigInteger(), nullable=True),
        sa.Column("last_step", sa.BigInteger(), nullable=True),
        sa.Column("last_step_ns", sa.BigInteger(), autoincrement=False, nullable=True),
        sa.Column("state", Text(), nullable=False),
        sa.PrimaryKeyConstraint("origin", "cluster", "id", name=op.f("pk_jobs")),
    )
    op.create_index(op.f("ix_jobs_last_seen_ns"), "jobs", ["last_seen_ns"])
    op.create_table(
        "nodes",
        sa.Column("origin", Text(), nullable=False),
        sa.Column("cluster", Text(), nullable=False),
        sa.Column("id", Text(), nullable=False),
        sa.Column("name", Text(), nullable=False),
        sa.Column("first_seen_ns", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("last_seen_ns", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("driver", Text(), nullable=False),
        sa.Column("gpus", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("origin", "cluster", "id", name=op.f("pk_nodes")),
    )
    op.create_index(op.f("ix_nodes_last_seen_ns"), "nodes", ["last_seen_ns"])


def downgrade() -> None:
    """Take it away again, indexes included."""
    op.drop_table("nodes")
    op.drop_table("jobs")
    op.drop_table("incidents")
    op.drop_table("findings")
    op.drop_table("events")
    op.drop_table("decisions")
    op.drop_table("audit")
