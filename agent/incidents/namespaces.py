"""Events as they are kept: each bears the Kubernetes namespaces of whoever it is about, so that each has its readers.

The watch alone says it: what a batch brings under the same name is put away.
"""

from msgspec.structs import replace

from collectors.model import Event, SubjectKind
from detectors.inventory import joined
from detectors.model import Inventory
from detectors.model.namespaces import namespaces_at

ATTRIBUTE = "namespace"
"""Of a kept event; several with commas between, one that is not known as nothing between two."""
_OF_SOMEBODY = frozenset({SubjectKind.GPU, SubjectKind.POD, SubjectKind.JOB, SubjectKind.RANK})


def placed(event: Event, inventory: Inventory) -> Event:
    """The event with the namespaces of its subject at its time; without any where it is nobody's, or a node's."""
    named = joined(namespaces_at(inventory, event.subject, event.time_ns)) if event.subject.kind in _OF_SOMEBODY else ""
    if event.attributes.get(ATTRIBUTE, "") == named:
        return event
    attributes = {key: value for key, value in event.attributes.items() if key != ATTRIBUTE}
    return replace(event, attributes={**attributes, ATTRIBUTE: named} if named else attributes)


def of_event(event: Event) -> tuple[str, ...]:
    """The namespaces that a kept event bears; () for none."""
    named = event.attributes.get(ATTRIBUTE, "")
    return tuple(named.split(",")) if named and event.subject.kind in _OF_SOMEBODY else ()
