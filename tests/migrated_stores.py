"""Empty stores that need no migration: made once a process and copied, since the migrations take 50 ms, a copy 5.

That they run one after another, and give what the tables say, is held by tests/agent/store/test_store_opening.py.
"""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from agent.store.store import open_store


@cache
def _file() -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "store.db"
        open_store(f"sqlite:///{path}").close()
        return path.read_bytes()


def migrated(path: Path) -> str:
    """Lay an empty SQLite store of this version at a path; its URL, for `open_store`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_file())
    return f"sqlite:///{path}"
