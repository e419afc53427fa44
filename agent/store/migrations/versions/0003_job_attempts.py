"""Attempts of jobs and where their time went.

Revision 0003, after 0002.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Text

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what this revision brings."""
    op.create_table(
        "job_attempts",
        sa.Column("origin", Text(), nullable=False),
        sa.Column("cluster", Text(), nullable=False),
        sa.Column("job", Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("name", Text(), nullable=False),
        sa.Column("started_ns", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("updated_ns", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("document", Text(), nullable=False),
        sa.PrimaryKeyConstraint("origin", "cluster", "job", "number", name=op.f("pk_job_attempts")),
    )
    op.create_index(op.f("ix_job_attempts_name"), "job_attempts", ["name"])
    op.create_index(op.f("ix_job_attempts_updated_ns"), "job_attempts", ["updated_ns"])


def downgrade() -> None:
    """Take it away again, indexes included."""
    op.drop_table("job_attempts")
