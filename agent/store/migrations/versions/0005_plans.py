"""The journal of plans, the steps that were carried out, and what holds for the agent as a whole.

Revision 0005, after 0004.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Text

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what this revision brings."""
    op.create_table(
        "plans",
        sa.Column("id", Text(), nullable=False),
        sa.Column("incident_id", Text(), nullable=False),
        sa.Column("state", Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("generation", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("made_ns", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("updated_ns", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("document", Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_plans")),
    )
    for columns in (["incident_id"], ["made_ns"], ["state", "made_ns"], ["updated_ns"]):
        op.create_index(op.f(f"ix_plans_{'_'.join(columns)}"), "plans", columns)
    op.create_table(
        "steps_taken",
        sa.Column("time_ns", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("plan_id", Text(), nullable=False),
        sa.Column("step", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("document", Text(), nullable=False),
        sa.PrimaryKeyConstraint("time_ns", "plan_id", "step", name=op.f("pk_steps_taken")),
    )
    op.create_table(
        "switches",
        sa.Column("name", Text(), nullable=False),
        sa.Column("time_ns", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("document", Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_switches")),
    )


def downgrade() -> None:
    """Take it away again, indexes included."""
    op.drop_table("switches")
    op.drop_table("steps_taken")
    op.drop_table("plans")
