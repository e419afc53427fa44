"""Strings that many objects bear, kept once: label keys, names of nodes and namespaces, the uid of a job.

Not `sys.intern`: CPython 3.12 keeps interned strings for ever, and a cluster makes new uids every day.
"""

MOST = 200_000
"""Strings in the pool; beyond it begins anew. Who holds one keeps it: only the sharing is lost."""

_pool: dict[str, str] = {}


def share(text: str) -> str:
    """The same text, the one object for it. Thread-safe."""
    if len(_pool) >= MOST:
        _pool.clear()
    return _pool.setdefault(text, text)
