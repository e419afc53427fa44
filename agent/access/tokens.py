"""Bearer tokens: the command line's own, made at the first start, and those that the settings name.

Tokens lie in files, one a file, never in settings, arguments or the environment. In memory only their SHA-256 is kept.
"""

import hashlib
import hmac
import os
import secrets
import stat
from collections.abc import Sequence
from pathlib import Path

import msgspec

from agent.access.authorise import Identity, NodeBinding, Role
from collectors.errors import FixConfiguration

LEAST_CHARS = 32
"""A token of 32 characters of hex has 128 bits: what no rate limit needs to protect."""
_MOST_CHARS = 16 * 1024
KUBERNETES = "kubernetes:"
"""Names of identities that the API server knows begin so."""


class StaticToken(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One more token: who bears it, where it lies, what it allows."""

    name: str
    """Who this is, as audit and log call them."""
    path: str
    """File that holds the token, one line of at least 32 characters, not readable by every user."""
    roles: tuple[Role, ...]
    """Any of ingest, read, acknowledge, approve, admin."""
    node: NodeBinding | None = None
    """`{cluster, id}`: an ingest token that may speak of this node only."""
    namespaces: tuple[str, ...] | None = None
    """Namespaces that it may see; absent means all."""


class TokenTable:
    """Tokens to identities."""

    def __init__(self, tokens: Sequence[tuple[str, Identity]]) -> None:
        """(token, identity) pairs; FixConfiguration where two bear the same token."""
        self._identities: dict[bytes, tuple[bytes, Identity]] = {}
        for token, identity in tokens:
            digest = _digest(token.encode())
            if digest in self._identities:
                other = self._identities[digest][1]
                raise FixConfiguration(f"tokens {other.name} and {identity.name} are the same; make one of them anew")
            self._identities[digest] = (digest, identity)

    def find(self, token: bytes) -> Identity | None:
        """Whose token this is. The time taken tells nothing: only digests are looked up and compared."""
        digest = _digest(token)
        held = self._identities.get(digest)
        return held[1] if held is not None and hmac.compare_digest(held[0], digest) else None


def open_tokens(admin_file: Path, others: Sequence[StaticToken] = ()) -> TokenTable:
    """The table of the admin token in `admin_file`, made where absent, and the others."""
    names = [token.name for token in others]
    for name in names:
        if not name or name == "admin" or name.startswith(KUBERNETES) or names.count(name) > 1:
            raise FixConfiguration(
                f"token name {name!r}: each needs a name of its own, and neither `admin` nor one with `{KUBERNETES}`"
            )
    pairs = [(admin_token(admin_file), Identity("admin", (Role.ADMIN,)))]
    for token in others:
        if not token.roles:
            raise FixConfiguration(f"token {token.name}: roles is empty; give it at least one")
        identity = Identity(token.name, token.roles, token.node, token.namespaces)
        pairs.append((read_token(Path(token.path)), identity))
    return TokenTable(pairs)


def admin_token(path: Path) -> str:
    """The token in `path`; at the first start a random one is put there, mode 0600."""
    if not path.exists():
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(file, secrets.token_urlsafe(32).encode() + b"\n")
            os.fsync(file)
        finally:
            os.close(file)
        draft.rename(path)
    return read_token(path)


def read_token(path: Path) -> str:
    """The token in a file that not every user can read; FixConfiguration otherwise."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            raw = file.read(_MOST_CHARS + 1).strip()
    except OSError as error:
        raise FixConfiguration(f"token file {path}: {error.strerror}; put the token there, mode 0600") from None
    if mode & (stat.S_IROTH | stat.S_IWOTH):
        raise FixConfiguration(f"token file {path} is open to every user of this machine; chmod 600 it")
    if not LEAST_CHARS <= len(raw) <= _MOST_CHARS or not all(0x21 <= byte <= 0x7E for byte in raw):
        raise FixConfiguration(f"token file {path}: not one token of at least {LEAST_CHARS} printable characters")
    return raw.decode("ascii")


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
