"""What one identity may read and change, by namespace. Asks `authorise` and nothing else."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from agent.access.authorise import Allowed, Identity, Permission, Target, authorise
from collectors.errors import GiveUp


class OutOfReach(GiveUp):
    """It is there and may be read, at least in part, and this person may not do that to it."""


@dataclass(frozen=True, slots=True)
class Sight:
    """The eyes of one identity."""

    identity: Identity
    readable: frozenset[str] | None
    """Namespaces that it may read; None: everything."""

    @property
    def limited(self) -> bool:
        """Whether it may read single namespaces only."""
        return self.readable is not None

    def whole(self, namespaces: Iterable[str]) -> bool:
        """Whether all that belongs to these may be read. What belongs to nobody, or to one that is not known, may not
        by somebody who is limited."""
        if self.readable is None:
            return True
        wanted = frozenset(namespaces)
        return bool(wanted) and wanted <= self.readable

    def touches(self, namespaces: Iterable[str]) -> bool:
        """Whether something that belongs to these may be read in part."""
        return self.readable is None or not self.readable.isdisjoint(namespaces)

    def may(self, permission: Permission, namespaces: Iterable[str]) -> bool:
        """Whether it may do this in every one of these, of which there is at least one."""
        if self.readable is None:
            return isinstance(authorise(self.identity, permission), Allowed)
        asked = [authorise(self.identity, permission, Target(namespace=name)) for name in namespaces]
        return bool(asked) and all(isinstance(said, Allowed) for said in asked)

    def must(self, permission: Permission, namespaces: Iterable[str], what: str) -> None:
        """Raise OutOfReach where it may not. The line names none of the namespaces: they may be others'."""
        if not self.may(permission, namespaces):
            raise OutOfReach(
                f"{self.identity.name} may not {permission.value} {what}: it concerns more than the namespaces in "
                "which you hold that role"
            )


@lru_cache(maxsize=1024)
def sight_of(identity: Identity) -> Sight:
    """Of an identity whose role a door has judged."""
    if identity.namespaces is None:
        return Sight(identity, None)
    held = (
        name
        for name in identity.namespaces
        if isinstance(authorise(identity, Permission.READ, Target(namespace=name)), Allowed)
    )
    return Sight(identity, frozenset(held))
