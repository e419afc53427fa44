"""Does a value fit a JSON schema? Only the words that msgspec writes; any other one is refused."""

from collections.abc import Iterator
from typing import Any

TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
WORDS = {"type", "properties", "required", "items", "enum", "anyOf", "$ref", "additionalProperties"}
NOTES = {"title", "description", "default"}
CHECKS = {"minimum", "maximum"}


def misfits(value: Any, schema: dict[str, Any], components: dict[str, Any], at: str = "$") -> Iterator[str]:
    """Where and why it does not fit. An object may hold no key that its schema does not name."""
    unknown = set(schema) - WORDS - NOTES - CHECKS
    assert not unknown, f"{at}: this checker does not know {unknown}"
    if "$ref" in schema:
        yield from misfits(value, components[schema["$ref"].rpartition("/")[2]], components, at)
        return
    if "anyOf" in schema:
        if all(any(misfits(value, one, components, at)) for one in schema["anyOf"]):
            yield f"{at}: {value!r} fits none of {schema['anyOf']}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{at}: {value!r} is not of {schema['enum']}"
    if "type" in schema:
        of_type = isinstance(value, TYPES[schema["type"]])
        if not of_type or (isinstance(value, bool) and schema["type"] != "boolean"):
            yield f"{at}: {value!r} is no {schema['type']}"
            return
    if isinstance(value, dict):
        properties, rest = schema.get("properties", {}), schema.get("additionalProperties", "properties" not in schema)
        yield from (f"{at}: {name} is absent" for name in schema.get("required", ()) if name not in value)
        for name, part in value.items():
            if name in properties:
                yield from misfits(part, properties[name], components, f"{at}.{name}")
            elif isinstance(rest, dict):
                yield from misfits(part, rest, components, f"{at}.{name}")
            elif not rest:
                yield f"{at}: {name} is not described"
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        for index, part in enumerate(value):
            yield from misfits(part, schema["items"], components, f"{at}[{index}]")
