"""Taint and label keys: Watchstander's own only, with an annotation beside each that says for which plans."""

from collectors.errors import GiveUp
from policies.cluster.look import Look
from policies.cluster.marks import OWN_PREFIX
from policies.cluster_view import OPT_OUT, PROTECTED

RESERVED = frozenset({OPT_OUT, PROTECTED})
"""People's words to Watchstander, which it never writes itself."""


def own_key(look: Look) -> str:
    """The step's `key`. GiveUp where it is not one of our own."""
    key = look.text("key")
    name = key.removeprefix(OWN_PREFIX)
    if name == key or not name or key in RESERVED:
        raise GiveUp(
            f"{look.plan.id} step {look.index} ({look.step.kind}): key {key!r} must be {OWN_PREFIX}NAME, and none of "
            f"{', '.join(sorted(RESERVED))}"
        )
    return key


def annotation_of(key: str, kind: str) -> str:
    """`watchstander.io/xid.taint-by`: names the plans that hold this taint or label."""
    return f"{key}.{kind}-by"
