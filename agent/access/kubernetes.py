"""Kubernetes identities: whose token this is, and which of our roles they have, as the API server says.

Who: a TokenReview. What: SubjectAccessReviews on resources of the group `watchstander.io`, which exist in RBAC only:

| role | verb | resource |
| --- | --- | --- |
| read | get | incidents |
| acknowledge | update | incidents |
| approve | approve | plans |
| admin | update | agents |
| ingest | create | batches (tokens of the ingest audience only) |

A role that is not held in the whole cluster is asked for in each namespace. Answers are remembered for a minute,
refusals for ten seconds; while the API server is away nobody new gets in, and tokens of the agent's own go on working.
"""

import base64
import binascii
import hashlib
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

from agent.access.authorise import TOKEN_REVIEW, Identity, NodeBinding, Role
from agent.access.tokens import KUBERNETES
from agent.settings import KubernetesAccessSettings
from policies.cluster.reviews import NODE_NAME, NODE_UID, Access, KubeUser, may, review_token

if TYPE_CHECKING:
    from policies.cluster.client import KubeClient

_log = logging.getLogger(__name__)

GROUP = "watchstander.io"
RIGHTS: dict[Role, tuple[str, str]] = {
    Role.READ: ("get", "incidents"),
    Role.ACKNOWLEDGE: ("update", "incidents"),
    Role.APPROVE: ("approve", "plans"),
    Role.ADMIN: ("update", "agents"),
}
INGEST_RIGHT = ("create", "batches")
NAMED = KUBERNETES
"""Names of such identities begin so: nobody in the cluster can be taken for a token of the agent's own."""
LONGEST_NAME = 200
"""Names stand in logs, on pages and in the audit, and come from whoever runs the cluster's log-in."""
MOST_REMEMBERED = 10_000
MOST_NAMESPACES = 500
"""In which a role is asked for one by one; who has more needs it in the whole cluster."""
_NS = 1_000_000_000

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Remembered(Generic[K, V]):
    """Answers with a date on which each lapses; the oldest go first. Thread-safe."""

    def __init__(self, clock: Callable[[], int], most: int = MOST_REMEMBERED) -> None:
        """`clock` gives Unix ns."""
        self._clock = clock
        self._most = most
        self._lock = threading.Lock()
        self._held: OrderedDict[K, tuple[V, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: K) -> tuple[V] | None:
        """The answer, wrapped; None where there is none, or not any more."""
        with self._lock:
            held = self._held.get(key)
            if held is None:
                return None
            if held[1] <= self._clock():
                del self._held[key]
                return None
            return (held[0],)

    def put(self, key: K, value: V, seconds: float) -> None:
        """Remember for so long."""
        with self._lock:
            self._held[key] = (value, self._clock() + int(seconds * _NS))
            self._held.move_to_end(key)
            while len(self._held) > self._most:
                self._held.popitem(last=False)


class _Rights(msgspec.Struct, frozen=True):
    roles: tuple[Role, ...]
    namespaces: tuple[str, ...] | None
    by_namespace: tuple[tuple[str, tuple[Role, ...]], ...]


class KubernetesIdentities:
    """Asks, and remembers. `known` never blocks; `ask` and `renewed` do, at most for the client's time-outs."""

    def __init__(
        self,
        settings: KubernetesAccessSettings,
        client: Callable[[], "KubeClient"],
        clock: Callable[[], int],
        *,
        cluster: str = "default",
        namespaces: Callable[[], Iterable[str]] = tuple,
        node_uid: Callable[[str], str] = lambda name: "",
    ) -> None:
        """`client` makes it when it is first needed. `namespaces`: all that there are. `node_uid`: of a node's name;
        empty where it is not known."""
        self.settings = settings
        self._make_client = client
        self._client: KubeClient | None = None
        self._lock = threading.Lock()
        self._cluster = cluster
        self._namespaces = namespaces
        self._node_uid = node_uid
        self._tokens: Remembered[bytes, Identity | None] = Remembered(clock)
        self._rights: Remembered[KubeUser, _Rights] = Remembered(clock)
        self.reviews = 0
        """Requests to the API server."""

    def known(self, token: bytes) -> tuple[Identity | None] | None:
        """What is remembered of a token, wrapped: who, or that it is nobody's. None: ask."""
        return self._tokens.get(digest_of(token))

    def ask(self, token: bytes) -> Identity | None:
        """Whose token this is; None: nobody's. Raises RetryLater, FixConfiguration, GiveUp."""
        try:
            text = token.decode("ascii")
        except UnicodeDecodeError:
            return None
        ingest, audience = self._audience(text)
        if not audience and not self.settings.api_server_audience:
            return None
        self.reviews += 1
        user = review_token(self.client, text, audience)
        if user is not None and not (user.username.isprintable() and len(user.username) <= LONGEST_NAME):
            _log.warning("a user name of the API server is refused: %.100r is not plain, or too long", user.username)
            user = None
        found = None if user is None else self._collector(user) if ingest else self._person(user)
        seconds = self.settings.remember_seconds if found is not None else self.settings.remember_refusal_seconds
        self._tokens.put(digest_of(token), found, seconds)
        return found

    def fresh(self, identity: Identity) -> Identity | None:
        """An identity of a session with its rights of today, where they are remembered; None: `renewed` asks."""
        if identity.user is None or identity.node is not None:
            return identity
        held = self._rights.get(identity.user)
        return _with(identity, held[0]) if held is not None else None

    def renewed(self, identity: Identity) -> Identity:
        """The same, asked for. Errors as `ask`."""
        return identity if identity.user is None else _with(identity, self._rights_of(identity.user))

    def may(self, user: KubeUser, access: Access) -> bool:
        """One SubjectAccessReview, never remembered: for approvals. Errors as `ask`."""
        self.reviews += 1
        return may(self.client, user, access)

    @property
    def client(self) -> "KubeClient":
        """Made at the first use."""
        with self._lock:
            if self._client is None:
                self._client = self._make_client()
            return self._client

    def _audience(self, token: str) -> tuple[bool, str]:
        """Which audience to ask about: the token's own word only chooses the question, the API server answers it."""
        said = _audiences(token)
        if self.settings.ingest_audience in said:
            return True, self.settings.ingest_audience
        return False, self.settings.audience if self.settings.audience in said else ""

    def _person(self, user: KubeUser) -> Identity | None:
        rights = self._ask_rights(user)
        self._rights.put(user, rights, self.settings.remember_seconds)
        named = Identity(f"{NAMED}{user.username}", (), proof=TOKEN_REVIEW, user=user)
        return _with(named, rights)

    def _collector(self, user: KubeUser) -> Identity | None:
        name = user.said(NODE_NAME)
        if not name:
            _log.warning("%s brings a token that is bound to no pod: a collector's is", user.username)
            return None
        uid = user.said(NODE_UID) or self._node_uid(name)
        if not uid:
            _log.warning("%s sends for node %s, which is not known here (yet)", user.username, name)
            return None
        if not self._allowed(user, *INGEST_RIGHT):
            return None
        node = NodeBinding(self._cluster, uid)
        return Identity(f"{NAMED}{user.username}@{name}", (Role.INGEST,), node, proof=TOKEN_REVIEW, user=user)

    def _rights_of(self, user: KubeUser) -> _Rights:
        held = self._rights.get(user)
        if held is not None:
            return held[0]
        found = self._ask_rights(user)
        self._rights.put(user, found, self.settings.remember_seconds)
        return found

    def _ask_rights(self, user: KubeUser) -> _Rights:
        everywhere = tuple(role for role, right in RIGHTS.items() if self._allowed(user, *right))
        if Role.READ in everywhere or Role.ADMIN in everywhere:
            return _Rights(everywhere, None, ())
        by_namespace = []
        names = sorted(self._namespaces())
        if len(names) > MOST_NAMESPACES:
            _log.warning(
                "%s: asked for in the first %d of %d namespaces only", user.username, MOST_NAMESPACES, len(names)
            )
        for namespace in names[:MOST_NAMESPACES]:
            if self._allowed(user, *RIGHTS[Role.READ], namespace):
                others = [role for role in RIGHTS if role is not Role.READ]
                more = [role for role in others if role in everywhere or self._allowed(user, *RIGHTS[role], namespace)]
                by_namespace.append((namespace, (Role.READ, *more)))
        together = {role for _, roles in by_namespace for role in roles}
        roles = tuple(role for role in Role if role in together)
        return _Rights(roles, tuple(namespace for namespace, _ in by_namespace), tuple(by_namespace))

    def _allowed(self, user: KubeUser, verb: str, resource: str, namespace: str = "") -> bool:
        return self.may(user, Access(verb, GROUP, resource, namespace))


def _with(identity: Identity, rights: _Rights) -> Identity:
    return msgspec.structs.replace(
        identity, roles=rights.roles, namespaces=rights.namespaces, by_namespace=rights.by_namespace
    )


def _audiences(token: str) -> tuple[str, ...]:
    """What a JSON web token says of its audience; nothing for any other token. Not proved by anything."""
    parts = token.split(".")
    if len(parts) != 3:
        return ()
    try:
        body = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        said = msgspec.json.decode(body, type=_Claims).aud
    except (binascii.Error, ValueError, msgspec.MsgspecError, RecursionError):
        return ()
    return (said,) if isinstance(said, str) else tuple(said)


class _Claims(msgspec.Struct):
    aud: str | list[str] = ""


def digest_of(token: bytes) -> bytes:
    """What is remembered of a token in its place."""
    return hashlib.sha256(token).digest()
