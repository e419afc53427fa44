"""What people say about incidents, what they think of them, and what tells incidents from one another.

Revision 0004, after 0003.
"""

import json

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Text

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_SLICE = 500


def upgrade() -> None:
    """Add what this revision brings; the incidents that are there get their features."""
    op.create_table(
        "feedback",
        sa.Column("incident_id", Text(), nullable=False),
        sa.Column("who", Text(), nullable=False),
        sa.Column("judgement", Text(), nullable=False),
        sa.Column("time_ns", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("note", Text(), nullable=False),
        sa.PrimaryKeyConstraint("incident_id", "who", name=op.f("pk_feedback")),
    )
    features = op.create_table(
        "incident_features",
        sa.Column("id", Text(), nullable=False),
        sa.Column("cluster", Text(), nullable=False),
        sa.Column("origin", Text(), nullable=False),
        sa.Column("kind", Text(), nullable=False),
        sa.Column("subject_kind", Text(), nullable=False),
        sa.Column("subject_id", Text(), nullable=False),
        sa.Column("node", Text(), nullable=False),
        sa.Column("job", Text(), nullable=False),
        sa.Column("opened_ns", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("findings", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_incident_features")),
    )
    for columns in (
        ["cluster", "kind", "opened_ns"],
        ["opened_ns"],
    ):
        op.create_index(op.f(f"ix_incident_features_{'_'.join(columns)}"), "incident_features", columns)
    op.create_table(
        "incident_words",
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("incident_id", Text(), nullable=False),
        sa.Column("kind", Text(), nullable=False),
        sa.Column("document", Text(), nullable=False),
        sa.PrimaryKeyConstraint("sequence", "incident_id", name=op.f("pk_incident_words")),
    )
    op.create_index(op.f("ix_incident_words_incident_id"), "incident_words", ["incident_id"])
    _fill(features)


def _fill(features: sa.Table) -> None:
    connection = op.get_bind()
    incidents = sa.table("incidents", sa.column("id", Text()), sa.column("document", Text()))
    last = ""
    while True:
        query = sa.select(incidents).where(incidents.c.id > last).order_by(incidents.c.id).limit(_SLICE)
        rows = connection.execute(query).all()
        if not rows:
            return
        last = rows[-1].id
        connection.execute(features.insert(), [_features(row.id, json.loads(row.document)) for row in rows])


def _features(id_: str, incident: dict[str, object]) -> dict[str, object]:
    """As the code of this revision states them; what an odd document lacks stays empty."""
    subject, names = incident.get("subject"), incident.get("names")
    cluster, kind, own = subject if isinstance(subject, list) and len(subject) == 3 else ("", "", "")
    names = names if isinstance(names, dict) else {}
    findings = incident.get("findings")
    return {
        "id": id_,
        "cluster": cluster,
        "origin": incident.get("origin", ""),
        "kind": incident.get("kind", ""),
        "subject_kind": kind,
        "subject_id": own,
        "node": names.get("node", ""),
        "job": names.get("job", ""),
        "opened_ns": incident.get("opened_ns", 0),
        "findings": len(findings) if isinstance(findings, list) else 0,
    }


def downgrade() -> None:
    """Take it away again, indexes included."""
    op.drop_table("incident_words")
    op.drop_table("incident_features")
    op.drop_table("feedback")
