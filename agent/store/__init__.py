"""The store: the only place that knows SQL. SQLite by default, PostgreSQL by a URL; docs/store.md explains.

Nothing is re-exported here, so that `agent.store.rows` and `agent.store.chunks` cost no SQL packages.
"""
