"""Run by alembic: hands it the store's connection and tables."""

from alembic import context
from sqlmodel import SQLModel

import agent.store.tables  # noqa: F401 - its import declares the tables

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=SQLModel.metadata,
    # SQLite cannot alter a column: alembic then copies the table.
    render_as_batch=connection.dialect.name == "sqlite",
    compare_type=True,
)
# The transaction is the caller's: all migrations or none.
context.run_migrations()
