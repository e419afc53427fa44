"""The few files that pages load: their content's hash is in their address, so browsers may keep them for good."""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

STATIC = Path(__file__).parent / "static"
TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file, read once."""

    content: bytes
    media_type: str
    digest: str


@cache
def assets() -> dict[str, Asset]:
    """Every file of `agent/web/static` by name; nothing else can be asked for."""
    found = {}
    for path in sorted(STATIC.iterdir()):
        if path.suffix in TYPES:
            content = path.read_bytes()
            found[path.name] = Asset(content, TYPES[path.suffix], hashlib.sha256(content).hexdigest()[:16])
    return found


def asset_url(name: str) -> str:
    """`/static/watchstander.css?v=<hash>`; KeyError for a file that is not there."""
    return f"/static/{name}?v={assets()[name].digest}"
