"""The agent of two tenants, and who asks it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from api_story import NOW
from served_agent import ServedAgent, served
from tenants_story import OUR_INCIDENT, OURS, SLOW, THEIR_PLAN, THEIRS, tell_tenants, tenants_watch

from agent.access.authorise import Identity, Role

READER, ADMIN_OF_OURS, BOTH = "r" * 40, "s" * 40, "t" * 40
ODD = {
    "none": (),
    "nothing": ("",),
    "joined": (f"{OURS},{THEIRS}",),
    "star": ("*",),
    "upper": (OURS.upper(),),
    "newline": (f"{OURS}\n",),
    "percent": ("%",),
}
IDENTITIES = [
    (READER, Identity("reader", (Role.READ,), namespaces=(OURS,))),
    (ADMIN_OF_OURS, Identity("admin-of-ours", (Role.ADMIN,), namespaces=(OURS,))),
    (
        BOTH,
        Identity(
            "both",
            (Role.READ, Role.ACKNOWLEDGE, Role.APPROVE),
            namespaces=(OURS, THEIRS),
            by_namespace=((OURS, (Role.APPROVE,)), (THEIRS, (Role.READ,))),
        ),
    ),
    *((f"odd-{name}".ljust(40, "x"), Identity(name, (Role.ADMIN,), namespaces=names)) for name, names in ODD.items()),
]

BODIES = {
    "snooze": {"until_ns": NOW + 10**12, "note": "mine"},
    "feedback": {"judgement": "true"},
    "merge": {"into": OUR_INCIDENT.id},
    "split": {"findings": [SLOW.id]},
    "approve": {"digest": THEIR_PLAN.digest},
}


@contextmanager
def tenants_served(folder: Path) -> Iterator[ServedAgent]:
    """The story of both, served to all of them."""
    with served(folder, telling=tell_tenants, watches=tenants_watch, more=IDENTITIES) as agent:
        yield agent
