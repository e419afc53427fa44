"""The tables of docs/guards.md, made from the guards and their settings themselves.

`python -m policies.guard_docs docs/guards.md` renews them; a test fails while page and code differ.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from collectors.field_docs import field_docstrings
from policies.guard_settings import GuardSettings, Limit, Window
from policies.guards import GUARDS

BEGIN = "<!-- begin: made by python -m policies.guard_docs docs/guards.md -->"
END = "<!-- end -->"


def tables() -> str:
    """All guards, then all settings, as Markdown."""
    lines = ["## The guards", "", "| guard | says no when | its no | settings |", "| --- | --- | --- | --- |"]
    for guard in GUARDS.values():
        groups = ", ".join(f"`{name}`" for name in guard.settings)
        lines.append(f"| `{guard.id}` | {guard.says_no_when} | {'may lift' if guard.passes else 'stands'} | {groups} |")
    lines += ["", "## Settings", "", "| setting | default | meaning |", "| --- | --- | --- |"]
    lines += [f"| `{name}` | `{default}` | {text} |" for name, default, text in settings()]
    lines += ["", "## A window", "", "| field | meaning |", "| --- | --- |"]
    lines += [f"| `{name}` | {text} |" for name, _, text in _fields(Window, Window(name="x"), "")]
    return "\n".join(lines) + "\n"


def settings() -> Iterator[tuple[str, str, str]]:
    """Every setting: dotted name, default as JSON, meaning."""
    yield from _fields(GuardSettings, GuardSettings(), "")


def _fields(struct: type[msgspec.Struct], value: msgspec.Struct, prefix: str) -> Iterator[tuple[str, str, str]]:
    texts = field_docstrings(struct)
    for field in msgspec.structs.fields(struct):
        held = getattr(value, field.name)
        name = f"{prefix}{field.encode_name}"
        if isinstance(held, msgspec.Struct):
            if isinstance(held, Limit):
                for part, meaning in (("count", "nodes"), ("share", "share, 0 to 1")):
                    yield f"{name}.{part}", _json(getattr(held, part)), f"{texts[field.name]} {meaning.capitalize()}."
            else:
                yield from _fields(type(held), held, f"{name}.")
        else:
            yield name, _json(held), texts.get(field.name, "")


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def renewed(page: str) -> str:
    """The page with its made part as it must be; ValueError where a marker is absent."""
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError("the page has no place for the tables")
    return f"{head}{BEGIN}\n{tables()}{END}{tail}"


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.write_text(renewed(target.read_text(encoding="utf-8")), encoding="utf-8")
