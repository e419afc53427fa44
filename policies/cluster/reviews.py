"""Asks the API server who somebody is and what they may do: TokenReview and SubjectAccessReview. Changes nothing.

Light to import: the official client comes with whoever makes the `KubeClient`.
"""

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from collectors.errors import GiveUp

if TYPE_CHECKING:
    from policies.cluster.client import KubeClient

TOKEN_REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"  # noqa: S105 - a path
ACCESS_REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
NODE_NAME = "authentication.kubernetes.io/node-name"
NODE_UID = "authentication.kubernetes.io/node-uid"


class KubeUser(msgspec.Struct, frozen=True, omit_defaults=True):
    """Somebody as the API server knows them."""

    username: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def said(self, key: str) -> str:
        """The first value of an extra; empty where there is none."""
        return next((values[0] for name, values in self.extra if name == key and values), "")


class Access(msgspec.Struct, frozen=True, omit_defaults=True):
    """What somebody may or may not do."""

    verb: str
    group: str
    resource: str
    """With its subresource: `pods/eviction`."""
    namespace: str = ""
    name: str = ""
    """Empty: of any name."""

    def __str__(self) -> str:
        where = f" in namespace {self.namespace}" if self.namespace else ""
        return f"{self.verb} {self.resource}{f' {self.name}' if self.name else ''}{where}"


_Status = TypeVar("_Status")


class _User(msgspec.Struct):
    username: str = ""
    uid: str = ""
    groups: list[str] | None = None
    extra: dict[str, list[str]] | None = None


class _TokenStatus(msgspec.Struct):
    authenticated: bool = False
    user: _User | None = None
    audiences: list[str] | None = None


class _AccessStatus(msgspec.Struct):
    allowed: bool = False
    denied: bool = False


def review_token(client: "KubeClient", token: str, audience: str = "") -> KubeUser | None:
    """Whose token this is; None: nobody's. `audience`: whom it must be meant for; empty: the API server itself.

    Raises RetryLater where the API server is away, FixConfiguration where the agent's role does not let it ask.
    """
    spec: dict[str, Any] = {"token": token}
    if audience:
        spec["audiences"] = [audience]
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
    status = _status(client.post(TOKEN_REVIEWS, body, reads=True), _TokenStatus)
    user = status.user
    if not status.authenticated or user is None or not user.username:
        return None
    if audience and audience not in (status.audiences or ()):
        return None  # an authenticator that knows no audiences
    extra = tuple((key, tuple(values)) for key, values in sorted((user.extra or {}).items()))
    return KubeUser(user.username, user.uid, tuple(user.groups or ()), extra)


def may(client: "KubeClient", user: KubeUser, access: Access) -> bool:
    """Whether the API server would let `user` do this. Errors as `review_token`."""
    resource, _, sub = access.resource.partition("/")
    attributes = {
        "verb": access.verb,
        "group": access.group,
        "resource": resource,
        "subresource": sub,
        "namespace": access.namespace,
        "name": access.name,
    }
    spec = {
        "user": user.username,
        "uid": user.uid,
        "groups": list(user.groups),
        "extra": {key: list(values) for key, values in user.extra},
        "resourceAttributes": {key: value for key, value in attributes.items() if value},
    }
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
    status = _status(client.post(ACCESS_REVIEWS, body, reads=True), _AccessStatus)
    return status.allowed and not status.denied


def _status(answer: dict[str, Any], kind: type[_Status]) -> _Status:
    try:
        return msgspec.convert(answer.get("status") or {}, kind)
    except msgspec.ValidationError as error:
        raise GiveUp(f"the API server's review reads otherwise than expected: {error}") from None
