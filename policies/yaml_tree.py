"""Policy files as a tree that knows its lines: plain YAML without aliases and without keys that stand twice."""

import re

import yaml

from collectors.errors import FixConfiguration

LARGEST_FILE_BYTES = 1_000_000
"""A policy is written by people: what is larger is no policy."""

DEEPEST = 16
"""Levels of nesting; the reader's time grows with the square of them."""

Path = list[str | int]
"""Keys and indices from the top of the file to a value."""


def tree_of(text: bytes, file: str) -> yaml.Node:
    """The tree of a file's text; `file` is how messages call it. FixConfiguration with file, line and reason."""
    if len(text) > LARGEST_FILE_BYTES:
        raise FixConfiguration(f"{file}:1: {len(text)} bytes, at most {LARGEST_FILE_BYTES} are read: not a policy file")
    try:
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST:
                raise FixConfiguration(f"{file}:1: nested more than {DEEPEST} deep: a policy needs five levels")
            if isinstance(event, yaml.AliasEvent):
                line = event.start_mark.line + 1 if event.start_mark else 1
                raise FixConfiguration(f"{file}:{line}: aliases (*{event.anchor}) are not read: write the value out")
        tree: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise _yaml_located(error, file) from None
    except UnicodeDecodeError as error:
        raise FixConfiguration(f"{file}:1: not UTF-8 ({error.reason}): save it as UTF-8") from None
    if tree is None:
        raise FixConfiguration(f"{file}:1: empty: write `version: 1` and `rules:`")
    return tree


def plain_of(node: yaml.Node, file: str) -> object:
    """Builtins from the tree. Unlike the library's own loader it refuses a key that stands twice."""
    if isinstance(node, yaml.MappingNode):
        out: dict[object, object] = {}
        for key_node, value in node.value:
            key = _scalar(key_node, file)
            if key in out:
                raise FixConfiguration(f"{file}:{line_of(key_node)}: {key!r} stands twice: remove one")
            out[key] = plain_of(value, file)
        return out
    if isinstance(node, yaml.SequenceNode):
        return [plain_of(item, file) for item in node.value]
    return _scalar(node, file)


def _scalar(node: yaml.Node, file: str) -> object:
    if not isinstance(node, yaml.ScalarNode):
        raise FixConfiguration(f"{file}:{line_of(node)}: a key must be a word")
    if node.tag == "tag:yaml.org,2002:timestamp" or (node.tag == "tag:yaml.org,2002:int" and ":" in node.value):
        return node.value  # a time without quotes is meant as text; YAML 1.1 reads 22:00 as 1320
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_object(node)
    except (yaml.YAMLError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise FixConfiguration(f"{file}:{line_of(node)}: {node.value!r} cannot be read: {reason}") from None
    finally:
        loader.dispose()


def _yaml_located(error: yaml.YAMLError, file: str) -> FixConfiguration:
    mark = getattr(error, "problem_mark", None)
    reason = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    where = f"{file}:{mark.line + 1}: column {mark.column + 1}" if mark else f"{file}:1"
    return FixConfiguration(f"{where}: not YAML: {' '.join(str(reason).split())}")


def located(message: str, tree: yaml.Node, file: str) -> tuple[FixConfiguration, Path]:
    """A validation error (`... - at `$.rules[0].mode``) with the line of the value that it is about, and its path."""
    reason, _, where = message.partition(" - at ")
    path: Path = [int(index) if index else name for name, index in re.findall(r"\.(\w+)|\[(\d+)\]", where.strip("`"))]
    node = node_at(tree, path)
    unknown = re.search(r"unknown field `([^`]*)`", reason)
    if unknown and isinstance(node, yaml.MappingNode):
        node = next((key for key, _ in node.value if getattr(key, "value", None) == unknown[1]), node)
    return FixConfiguration(f"{file}:{line_of(node)}: {shown(path)}: {reason[:1].lower()}{reason[1:]}"), path


def shown(path: Path) -> str:
    """A path for people: `rules[0].mode`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".") or "the file"


def node_at(tree: yaml.Node, path: Path) -> yaml.Node:
    """The node at a path, or the deepest one on the way to it."""
    node = tree
    for part in path:
        if isinstance(part, int) and isinstance(node, yaml.SequenceNode) and part < len(node.value):
            node = node.value[part]
        elif isinstance(node, yaml.MappingNode):
            found = next((value for key, value in node.value if getattr(key, "value", None) == part), None)
            if found is None:
                return node
            node = found
        else:
            return node
    return node


def line_of(node: yaml.Node) -> int:
    """The line of a node, from 1."""
    return int(node.start_mark.line) + 1
