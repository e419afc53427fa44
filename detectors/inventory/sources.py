"""Who states facts, and whom to believe when two disagree.

The collectors stand on the node: they win on what runs where (node of a card, pod, job, rank, driver). The cluster
gives the names and knows how things are laid out: Kubernetes wins on names, racks, pools and NVLink domains, before a
CSV file, before a default from the settings.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from collectors.model import SubjectFacts


class Source(StrEnum):
    """Where a fact comes from."""

    COLLECTOR = "collector"
    KUBERNETES = "kubernetes"
    CSV = "csv"
    SETTING = "setting"


_OBSERVED = (Source.COLLECTOR, Source.KUBERNETES, Source.CSV, Source.SETTING)
_LAID_OUT = (Source.KUBERNETES, Source.CSV, Source.SETTING, Source.COLLECTOR)

LAYOUT = ("rack", "nvlink_domain", "pool")
"""Where a node stands."""
LAYOUT_KEYS = frozenset({"name", *LAYOUT, "namespace", "owner", "attempt"})
"""What the cluster knows best; all else the collectors do. `node` is the node that a card or pod sits in."""


def order_of(key: str) -> tuple[Source, ...]:
    """The sources for an attribute, the most believed first."""
    return _LAID_OUT if key in LAYOUT_KEYS else _OBSERVED


def stated(facts: SubjectFacts, key: str) -> str | None:
    """What one source says of one attribute; `name` and `node` count as attributes. None where it says nothing.

    A name that is the id itself says nothing: whoever wrote it knew no name.
    """
    if key == "name":
        return facts.name if facts.name and facts.name != facts.subject.id else None
    if key == "node":
        return facts.node.id if facts.node is not None else None
    return facts.attributes.get(key)


def keys_of(told: Iterable[SubjectFacts]) -> set[str]:
    """Every attribute that any of them states."""
    return {"name", "node"}.union(*(facts.attributes for facts in told))


def merged(told: Mapping[Source, SubjectFacts]) -> SubjectFacts:
    """What holds of one subject, all sources together."""
    if len(told) == 1:
        return next(iter(told.values()))
    any_of_them = next(iter(told.values()))
    name, node = any_of_them.subject.id, None
    attributes: dict[str, str] = {}
    for key in sorted(keys_of(told.values())):
        source = believed(told, key)
        if source is None:
            continue
        if key == "name":
            name = told[source].name
        elif key == "node":
            node = told[source].node
        else:
            attributes[key] = told[source].attributes[key]
    return SubjectFacts(any_of_them.subject, name, node, attributes)


def believed(told: Mapping[Source, SubjectFacts], key: str) -> Source | None:
    """Whose word counts for an attribute; None where nobody says anything."""
    for source in order_of(key):
        facts = told.get(source)
        if facts is not None and stated(facts, key) is not None:
            return source
    return None
