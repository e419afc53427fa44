"""Who may do what: the one function that every door asks (page, API, command line, ingest).

| role | may |
| --- | --- |
| ingest | send batches |
| read | see |
| acknowledge | see, acknowledge |
| approve | see, acknowledge, approve |
| admin | all of these, and what changes the agent itself |

An identity may be bound further: to one node (its batches speak of nothing else) and to namespaces.
"""

from dataclasses import dataclass
from enum import StrEnum

import msgspec

from policies.cluster.reviews import KubeUser


class Permission(StrEnum):
    """What a door asks for."""

    INGEST = "ingest"
    READ = "read"
    ACKNOWLEDGE = "acknowledge"
    APPROVE = "approve"
    ADMIN = "admin"


class Role(StrEnum):
    """What an identity is given."""

    INGEST = "ingest"
    READ = "read"
    ACKNOWLEDGE = "acknowledge"
    APPROVE = "approve"
    ADMIN = "admin"


GRANTS: dict[Role, frozenset[Permission]] = {
    Role.INGEST: frozenset({Permission.INGEST}),
    Role.READ: frozenset({Permission.READ}),
    Role.ACKNOWLEDGE: frozenset({Permission.READ, Permission.ACKNOWLEDGE}),
    Role.APPROVE: frozenset({Permission.READ, Permission.ACKNOWLEDGE, Permission.APPROVE}),
    Role.ADMIN: frozenset(Permission),
}


class NodeBinding(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The one node that an identity may speak of."""

    cluster: str
    id: str


TOKEN_FILE = "a token of the agent's own"  # noqa: S105 - words
TOKEN_REVIEW = "TokenReview"  # noqa: S105 - words


class Identity(msgspec.Struct, frozen=True):
    """Somebody who has proved who they are."""

    name: str
    roles: tuple[Role, ...]
    node: NodeBinding | None = None
    namespaces: tuple[str, ...] | None = None
    """None: all of them."""
    by_namespace: tuple[tuple[str, tuple[Role, ...]], ...] = ()
    """Where roles differ between namespaces: those of each; `roles` are then all of them together."""
    proof: str = TOKEN_FILE
    """How they proved it. A login link, and the session that it becomes, carry it on."""
    user: KubeUser | None = None
    """Who this is to the API server, where it was the API server that said so."""

    def may(self, permission: Permission) -> bool:
        """Whether any of its roles grants this, bindings aside."""
        return any(permission in GRANTS[role] for role in self.roles)


@dataclass(frozen=True, slots=True)
class Target:
    """What the permission is wanted for, as far as it is known; an empty string where a part does not apply."""

    cluster: str = ""
    node: str = ""
    namespace: str = ""
    cut: bool = False
    """Whatever lies behind the door is cut to what its caller may read (`agent.access.visible`), and each change is
    asked about once more with the namespaces that it touches."""


CUT = Target(cut=True)


@dataclass(frozen=True, slots=True)
class Allowed:
    """Yes, and to whom."""

    identity: Identity


@dataclass(frozen=True, slots=True)
class Refused:
    """No, in one line, with the HTTP status that says so."""

    reason: str
    status: int = 403
    do: str = "ask an administrator of this agent"
    retry_after_seconds: int = 0


ANONYMOUS = Refused("no valid credential", 401, "send `Authorization: Bearer <token>`, or open a login link")


def authorise(identity: Identity | None, permission: Permission, target: Target | None = None) -> Allowed | Refused:
    """Whether `identity` may do this to `target`.

    Without a target only the role is judged, and an identity that is limited to namespaces is refused whatever it
    wants to see or change: a door that cannot say which namespace lies behind it does not open to such a one. One
    whose answers are CUT opens to whoever holds the role in any namespace.
    """
    if identity is None:
        return ANONYMOUS
    if not identity.may(permission):
        return Refused(f"{identity.name} may not {permission.value}; its roles: {_listed(identity.roles)}")
    if permission is Permission.INGEST:
        return _within_node(identity, target)
    if identity.node is not None:
        return Refused(f"{identity.name} is bound to node {identity.node.id} and may only send its batches")
    if identity.namespaces is None:
        return Allowed(identity)
    if target is not None and target.cut:
        if any(_holds(identity, permission, namespace) for namespace in identity.namespaces):
            return Allowed(identity)
        return Refused(f"{identity.name} may not {permission.value} in any namespace")
    namespace = target.namespace if target is not None else ""
    if not namespace or namespace not in identity.namespaces:
        where = f"namespace {namespace}" if namespace else "what lies outside namespaces"
        return Refused(f"{identity.name} is limited to {_listed(identity.namespaces)} and may not reach {where}")
    if not _holds(identity, permission, namespace):
        held = _listed(dict(identity.by_namespace)[namespace])
        return Refused(f"{identity.name} may not {permission.value} in namespace {namespace}; its roles there: {held}")
    return Allowed(identity)


def _holds(identity: Identity, permission: Permission, namespace: str) -> bool:
    """In one of its own namespaces; what has no name is nobody's."""
    held = dict(identity.by_namespace).get(namespace, identity.roles)
    return bool(namespace) and any(permission in GRANTS[role] for role in held)


def _within_node(identity: Identity, target: Target | None) -> Allowed | Refused:
    bound = identity.node
    if bound is not None and target is not None and (target.cluster, target.node) != (bound.cluster, bound.id):
        return Refused(
            f"{identity.name} may speak of node {bound.cluster}/{bound.id} only, not of {target.cluster}/{target.node}",
            do="give each node its own token, or an ingest token without a node",
        )
    return Allowed(identity)


def _listed(words: tuple[str, ...]) -> str:
    return ", ".join(words) or "none"
