"""What is created for a step that the API has no verb for: a GPU reset, a reboot. A Job, or a custom resource of the
cluster's own maintenance operator, from a template that an operator gives.

`${node}`, `${node_uid}`, `${name}`, `${plan}`, `${boot_id}`, `${image}`, `${namespace}` and the step's arguments
(`${gpu}` ...) stand for values; one that is empty is as good as missing.
They are filled into the leaves of the parsed object, never into text that is parsed afterwards.
"""

import re
from collections.abc import Mapping
from string import Template as StringTemplate
from typing import Any

import msgspec

from collectors.errors import FixConfiguration

_PART = re.compile(r"([A-Za-z0-9]+)(?:\[([A-Za-z]+)=([A-Za-z0-9]+)\])?")


class Match(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One field of an object and a value of it: `status.conditions[type=Complete].status`, `True`."""

    path: str
    equals: str = ""
    """Empty: the field is there, whatever it says."""

    def holds(self, thing: Any) -> bool:
        """Whether the object has it."""
        found = look_up(thing, self.path)
        return found is not None and (not self.equals or str(found) == self.equals)


class Template(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to create, and by which fields it tells that it is over."""

    plural: str
    """`jobs`, `rebootnodes`."""
    object: dict[str, Any]
    """A manifest, without `metadata.name`, which is made from the plan."""
    done: tuple[Match, ...]
    """All of them hold: it has succeeded."""
    failed: tuple[Match, ...] = ()
    """One of them holds: it has failed."""

    def asks_for(self, name: str) -> bool:
        """Whether a placeholder of this name stands in it."""
        return f"${{{name}}}" in repr(self.object)

    def render(self, name: str, values: Mapping[str, str]) -> dict[str, Any]:
        """The object to create. FixConfiguration for a placeholder without a value."""
        filled = _fill(self.object, {**values, "name": name})
        metadata = {**filled.get("metadata", {}), "name": name}
        return {**filled, "metadata": metadata}


def look_up(thing: Any, path: str) -> Any:
    """The value at a path; None where there is none. FixConfiguration for a path that does not read as one."""
    for part in path.split("."):
        found = _PART.fullmatch(part)
        if found is None:
            raise FixConfiguration(f"template: {path!r} is no path such as status.conditions[type=Complete].status")
        name, key, value = found.groups()
        thing = thing.get(name) if isinstance(thing, dict) else None
        if key is not None:
            items = thing if isinstance(thing, list) else []
            thing = next((one for one in items if isinstance(one, dict) and str(one.get(key)) == value), None)
    return thing


def _fill(thing: Any, values: Mapping[str, str]) -> Any:
    if isinstance(thing, dict):
        return {key: _fill(value, values) for key, value in thing.items()}
    if isinstance(thing, list):
        return [_fill(one, values) for one in thing]
    if not isinstance(thing, str):
        return thing
    try:
        return StringTemplate(thing).substitute(values)
    except KeyError as missing:
        known = ", ".join(sorted(values))
        raise FixConfiguration(f"template: ${{{missing.args[0]}}} has no value here (known: {known})") from None
    except ValueError as error:
        raise FixConfiguration(f"template: {thing!r}: {error}; a plain $ is written $$") from None
