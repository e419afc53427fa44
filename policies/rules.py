"""Policy files: YAML in, rules out. Every mistake is one FixConfiguration line: file, line, path, reason."""

import re
from enum import Enum
from pathlib import Path
from typing import Annotated

import msgspec
import yaml

from collectors.errors import FixConfiguration
from detectors.model import FindingKind
from policies.cel import CelError, Condition, Conditions
from policies.facts import VARIABLES
from policies.model import ActionKind, Mode

LARGEST_FILE_BYTES = 1_000_000
"""A policy is written by people: what is larger is no policy."""

DEEPEST = 16
"""Levels of nesting; the reader's time grows with the square of them."""

_Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
_Seconds = Annotated[int, msgspec.Meta(ge=0, le=86_400)]
_Sources = Annotated[int, msgspec.Meta(ge=1, le=3)]


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One rule of a policy file. The first rule that matches an incident decides; the rest are not asked."""

    name: _Name
    """Unique in the file: lower-case letters, digits and dashes. It stands in decisions and in the audit."""
    description: str
    """Why the rule is there, for the person who reads a decision at night."""
    actions: tuple[ActionKind, ...]
    """What is wanted, in this order; an empty list is a decision to do nothing."""
    kinds: tuple[FindingKind, ...] = ()
    """Kinds of the incident's root that the rule is about; none means any."""
    when: str = ""
    """A CEL condition over the variables of docs/policies.md; empty means always."""
    mode: Mode = Mode.ENFORCE
    """How far this rule may go at most. The agent's own mode limits it further; the default leaves it to that."""
    wait_seconds: _Seconds = 30
    """How old the incident must be before cluster actions are allowed (guard G11)."""
    sources: _Sources = 2
    """How many independent sources cluster actions need (guard G15)."""


class PolicyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    version: Annotated[int, msgspec.Meta(ge=1, le=1)]
    """Format of the file: 1."""
    rules: tuple[Rule, ...]
    """In order of precedence."""


class Compiled(msgspec.Struct, frozen=True):
    """A rule with its condition ready to be judged; None where it has none."""

    rule: Rule
    condition: Condition | None


def load_rules(path: Path) -> tuple[Compiled, ...]:
    """Read a policy file. Raises FixConfiguration with file, line, path and reason."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise FixConfiguration(f"{path}: cannot be read ({error.strerror}): give the path of a policy file") from error
    return parse_rules(text, str(path))


def default_rules() -> tuple[Compiled, ...]:
    """The rules that come with Watchstander, `policies/default.yaml`."""
    return load_rules(Path(__file__).with_name("default.yaml"))


def parse_rules(text: bytes, file: str) -> tuple[Compiled, ...]:
    """Rules from the text of a policy file; `file` is how messages call it."""
    tree = _tree(text, file)
    try:
        policy = msgspec.convert(_plain(tree, file), PolicyFile)
    except msgspec.ValidationError as error:
        raise _located(str(error), tree, file) from None
    conditions = Conditions({name: variable.type for name, variable in VARIABLES.items()})
    seen: dict[str, int] = {}
    compiled: list[Compiled] = []
    for index, rule in enumerate(policy.rules):
        path: list[str | int] = ["rules", index]
        line = _line(_node(tree, path))
        if rule.name in seen:
            raise FixConfiguration(
                f"{file}:{line}: rules[{index}].name: {rule.name!r} is taken by the rule on line {seen[rule.name]}"
            )
        seen[rule.name] = line
        if len(set(rule.actions)) < len(rule.actions):
            raise FixConfiguration(f"{file}:{line}: rules[{index}].actions: {rule.name} names an action twice")
        condition = None
        if rule.when.strip():
            try:
                condition = conditions.compile(rule.when)
            except CelError as error:
                raise _cel_located(error, _node(tree, [*path, "when"]), file, index, rule.name) from None
        compiled.append(Compiled(rule, condition))
    return tuple(compiled)


def _tree(text: bytes, file: str) -> yaml.Node:
    if len(text) > LARGEST_FILE_BYTES:
        raise FixConfiguration(f"{file}:1: {len(text)} bytes, at most {LARGEST_FILE_BYTES} are read: not a policy file")
    try:
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST:
                raise FixConfiguration(f"{file}:1: nested more than {DEEPEST} deep: a policy needs four levels")
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


def _plain(node: yaml.Node, file: str) -> object:
    """Builtins from the tree. Unlike the library's own loader it refuses a key that stands twice."""
    if isinstance(node, yaml.MappingNode):
        out: dict[object, object] = {}
        for key_node, value in node.value:
            key = _scalar(key_node, file)
            if key in out:
                raise FixConfiguration(f"{file}:{_line(key_node)}: {key!r} stands twice: remove one")
            out[key] = _plain(value, file)
        return out
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, file) for item in node.value]
    return _scalar(node, file)


def _scalar(node: yaml.Node, file: str) -> object:
    if not isinstance(node, yaml.ScalarNode):
        raise FixConfiguration(f"{file}:{_line(node)}: a key must be a word")
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_object(node)
    except (yaml.YAMLError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise FixConfiguration(f"{file}:{_line(node)}: {node.value!r} cannot be read: {reason}") from None
    finally:
        loader.dispose()


def _yaml_located(error: yaml.YAMLError, file: str) -> FixConfiguration:
    mark = getattr(error, "problem_mark", None)
    reason = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    where = f"{file}:{mark.line + 1}: column {mark.column + 1}" if mark else f"{file}:1"
    return FixConfiguration(f"{where}: not YAML: {' '.join(str(reason).split())}")


def _located(message: str, tree: yaml.Node, file: str) -> FixConfiguration:
    """A validation error (`... - at `$.rules[0].mode``) with the line of the value that it is about."""
    reason, _, where = message.partition(" - at ")
    path = [int(index) if index else name for name, index in re.findall(r"\.(\w+)|\[(\d+)\]", where.strip("`"))]
    node = _node(tree, path)
    unknown = re.search(r"unknown field `([^`]*)`", reason)
    if unknown and isinstance(node, yaml.MappingNode):
        node = next((key for key, _ in node.value if getattr(key, "value", None) == unknown[1]), node)
    shown = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".") or "the file"
    return FixConfiguration(f"{file}:{_line(node)}: {shown}: {reason[:1].lower()}{reason[1:]}{_choices(reason, path)}")


def _choices(reason: str, path: list[str | int]) -> str:
    """The words that would have been right, where an enum was missed."""
    if not reason.startswith("Invalid enum value"):
        return ""
    last = next((part for part in reversed(path) if isinstance(part, str)), "")
    enum: dict[str, type[Enum]] = {"actions": ActionKind, "kinds": FindingKind, "mode": Mode}
    return f" (one of {', '.join(str(member.value) for member in enum[last])})" if last in enum else ""


def _cel_located(error: CelError, node: yaml.Node, file: str, index: int, name: str) -> FixConfiguration:
    """Line and column of the file where the condition stands on one line; within the condition otherwise."""
    line = _line(node)
    path = f"rules[{index}].when ({name})"
    style = getattr(node, "style", None)
    if style == "|":
        return FixConfiguration(
            f"{file}:{line + error.line}: {path}: {error.reason}, column {error.column} of its line"
        )
    if node.start_mark.line == node.end_mark.line:
        column = node.start_mark.column + (1 if style else 0) + error.column
        return FixConfiguration(f"{file}:{line}: column {column}: {path}: {error.reason}")
    return FixConfiguration(f"{file}:{line}: {path}: {error}")


def _node(tree: yaml.Node, path: list[str | int]) -> yaml.Node:
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


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
