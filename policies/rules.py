"""Policy files: YAML in, rules out. Every mistake is one FixConfiguration line: file, line, path, reason."""

import hashlib
from enum import Enum
from pathlib import Path
from typing import Annotated

import msgspec
import yaml

from collectors.errors import FixConfiguration
from detectors.model import FindingKind
from policies.cel import CelError, Condition, Conditions
from policies.guard_settings import GuardSettings
from policies.model import ActionKind, Mode
from policies.variables import VARIABLES
from policies.windows import problem
from policies.yaml_tree import LARGEST_FILE_BYTES, line_of, located, node_at, plain_of, tree_of
from policies.yaml_tree import Path as TreePath

DEFAULT_FILE = Path(__file__).with_name("default.yaml")
"""The policy that comes with Watchstander."""

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
    priority: Annotated[int, msgspec.Meta(ge=-1000, le=1000)] = 0
    """Rules of a higher priority are asked first; those of the same one in the order of the file."""
    undo_when_resolved: bool = False
    """Whether cordons, taints, labels and conditions are taken back once the incident is resolved and stays so."""
    healthy_seconds: _Seconds = 1800
    """How long it must have been resolved before anything is taken back (guard G11)."""


class PolicyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    version: Annotated[int, msgspec.Meta(ge=1, le=1)]
    """Format of the file: 1."""
    rules: tuple[Rule, ...]
    """In order of precedence, but for their `priority`."""
    guards: GuardSettings = msgspec.field(default_factory=GuardSettings)
    """Settings of the guards (docs/guards.md); what is not named keeps its default."""


class Compiled(msgspec.Struct, frozen=True):
    """A rule with its condition ready to be judged; None where it has none."""

    rule: Rule
    condition: Condition | None


class Policy(msgspec.Struct, frozen=True):
    """A policy file, read and found right."""

    rules: tuple[Compiled, ...]
    """In the order in which they are asked."""
    guards: GuardSettings = msgspec.field(default_factory=GuardSettings)
    file: str = ""
    digest: str = ""
    """sha256 of the file's bytes, hex: two agents with the same digest decide by the same text."""


def load_policy(path: Path) -> Policy:
    """Read a policy file. Raises FixConfiguration with file, line, path and reason."""
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST_FILE_BYTES + 1)
    except OSError as error:
        raise FixConfiguration(f"{path}: cannot be read ({error.strerror}): give the path of a policy file") from error
    return parse_policy(text, str(path))


def default_policy() -> Policy:
    """The policy that comes with Watchstander, `policies/default.yaml`."""
    return load_policy(DEFAULT_FILE)


def load_rules(path: Path) -> tuple[Compiled, ...]:
    """The rules of a policy file. Raises FixConfiguration with file, line, path and reason."""
    return load_policy(path).rules


def default_rules() -> tuple[Compiled, ...]:
    """The rules that come with Watchstander."""
    return default_policy().rules


def parse_rules(text: bytes, file: str) -> tuple[Compiled, ...]:
    """Rules from the text of a policy file; `file` is how messages call it."""
    return parse_policy(text, file).rules


def parse_policy(text: bytes, file: str) -> Policy:
    """A policy from the text of its file; `file` is how messages call it. FixConfiguration as `load_policy`."""
    tree = tree_of(text, file)
    try:
        policy = msgspec.convert(plain_of(tree, file), PolicyFile)
    except msgspec.ValidationError as error:
        wrong, path = located(str(error), tree, file)
        raise FixConfiguration(f"{wrong}{_choices(str(error), path)}") from None
    for index, window in enumerate(policy.guards.windows):
        why = problem(window)
        if why:
            line = line_of(node_at(tree, ["guards", "windows", index]))
            raise FixConfiguration(f"{file}:{line}: guards.windows[{index}] ({window.name}): {why}")
    compiled = _compiled(policy, tree, file)
    ordered = sorted(compiled, key=lambda one: -one.rule.priority)
    return Policy(tuple(ordered), policy.guards, file, hashlib.sha256(text).hexdigest())


def _compiled(policy: PolicyFile, tree: yaml.Node, file: str) -> list[Compiled]:
    conditions = Conditions({name: variable.type for name, variable in VARIABLES.items()})
    seen: dict[str, int] = {}
    compiled: list[Compiled] = []
    for index, rule in enumerate(policy.rules):
        path: TreePath = ["rules", index]
        line = line_of(node_at(tree, path))
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
                raise _cel_located(error, node_at(tree, [*path, "when"]), file, index, rule.name) from None
        compiled.append(Compiled(rule, condition))
    return compiled


def _choices(reason: str, path: TreePath) -> str:
    """The words that would have been right, where an enum was missed."""
    if not reason.startswith("Invalid enum value"):
        return ""
    last = next((part for part in reversed(path) if isinstance(part, str)), "")
    enum: dict[str, type[Enum]] = {"actions": ActionKind, "kinds": FindingKind, "mode": Mode}
    return f" (one of {', '.join(str(member.value) for member in enum[last])})" if last in enum else ""


def _cel_located(error: CelError, node: yaml.Node, file: str, index: int, name: str) -> FixConfiguration:
    """Line and column of the file where the condition stands on one line; within the condition otherwise."""
    line = line_of(node)
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
