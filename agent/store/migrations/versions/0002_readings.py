"""Readings as compressed chunks.

Revision 0002, after 0001.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Text

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what this revision brings."""
    op.create_table(
        "reading_chunks",
        sa.Column("layout_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("start_ns", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("end_ns", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("layout_id", "start_ns", name=op.f("pk_reading_chunks")),
    )
    op.create_index(op.f("ix_reading_chunks_end_ns"), "reading_chunks", ["end_ns"])
    op.create_table(
        "reading_layouts",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("digest", Text(), nullable=False),
        sa.Column("document", Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reading_layouts")),
        sa.UniqueConstraint("digest", name=op.f("uq_reading_layouts_digest")),
    )
    op.create_table(
        "reading_members",
        sa.Column("cluster", Text(), nullable=False),
        sa.Column("subject_kind", Text(), nullable=False),
        sa.Column("subject_id", Text(), nullable=False),
        sa.Column("layout_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("cluster", "subject_kind", "subject_id", "layout_id", name=op.f("pk_reading_members")),
    )
    op.create_index(op.f("ix_reading_members_layout_id"), "reading_members", ["layout_id"])


def downgrade() -> None:
    """Take it away again, indexes included."""
    op.drop_table("reading_members")
    op.drop_table("reading_layouts")
    op.drop_table("reading_chunks")
