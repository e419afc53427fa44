"""What people said on nodes by their hands.

Revision 0006, after 0005.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Text

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what this revision brings."""
    op.create_table(
        "node_words",
        sa.Column("node", Text(), nullable=False),
        sa.Column("what", Text(), nullable=False),
        sa.Column("time_ns", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("document", Text(), nullable=False),
        sa.PrimaryKeyConstraint("node", "what", name=op.f("pk_node_words")),
    )
    op.create_index(op.f("ix_node_words_time_ns"), "node_words", ["time_ns"])


def downgrade() -> None:
    """Take it away again, index included."""
    op.drop_table("node_words")
