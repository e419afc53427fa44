"""CEL conditions behind one small door: the only file that knows the library.

A condition is compiled when the policy is loaded. Names are declared whole (`incident.kind`, not `incident`), so that
a name nobody provides, and a comparison of unlike types, is refused at load with line and column. At evaluation only a
plain `true` counts. Anything else is a "no" with a reason: the library returns errors as values whose plain form is a
non-empty string, which Python would take for true.
"""

import re
from collections.abc import Mapping
from enum import Enum

import msgspec
from cel_expr_python import cel

from collectors.errors import FixConfiguration

LONGEST_CONDITION = 4000
"""Characters. A condition that needs more is several rules."""

Plain = bool | int | float | str | list[str] | list[int] | dict[str, str]
"""What a variable may hold: builtins only, the library refuses enums and nested times."""

_POSITION = re.compile(r"<input>:(\d+):(\d+): (.*)")
_UNDECLARED = re.compile(r"undeclared reference to '([^']*)'")


class CelType(Enum):
    """The types of variables, in the words of the CEL specification."""

    BOOL = "bool"
    INT = "int"
    DOUBLE = "double"
    STRING = "string"
    STRINGS = "list(string)"
    INTS = "list(int)"
    NAMES = "map(string, string)"


class CelError(FixConfiguration):
    """A condition that cannot be compiled; lines and columns count from 1 within the condition."""

    def __init__(self, reason: str, line: int, column: int) -> None:
        super().__init__(f"{reason} at line {line}, column {column} of the condition")
        self.reason = reason
        self.line = line
        self.column = column


class Judgement(msgspec.Struct, frozen=True):
    """Whether a condition holds. `problem` says why it could not be judged; then it does not hold."""

    holds: bool
    problem: str = ""


_HOLDS = Judgement(holds=True)
_DOES_NOT = Judgement(holds=False)


class Given:
    """Values for many conditions: what the library makes of them is made once."""

    def __init__(self, values: Mapping[str, Plain]) -> None:
        self._values = dict(values)
        self._env: cel.Env | None = None
        self._activation: cel.Activation | None = None

    def for_(self, env: cel.Env) -> cel.Activation:
        """For the conditions of one environment. RuntimeError for values of the wrong type."""
        if self._activation is None or self._env is not env:
            self._env, self._activation = env, env.Activation(self._values)
        return self._activation


class Condition:
    """A compiled condition. Safe to judge as often as one likes; it holds no state."""

    def __init__(self, env: cel.Env, expression: cel.Expression, text: str) -> None:
        self._env = env
        self._expression = expression
        self.text = text

    def judge(self, values: "Mapping[str, Plain] | Given") -> Judgement:
        """Whether it holds for these values, which must name every declared variable. Never raises."""
        try:
            given = values if isinstance(values, Given) else Given(values)
            value = self._expression.eval(given.for_(self._env))
        except RuntimeError as error:  # the library's own limit of 10,000 iterations, and wrong values
            return Judgement(holds=False, problem=_clean(str(error)))
        plain = value.plain_value()
        if plain is True:  # an error's plain form is a text, never this
            return _HOLDS
        if plain is False:
            return _DOES_NOT
        if value.type() == cel.Type.ERROR:
            return Judgement(holds=False, problem=_clean(str(plain)))
        return Judgement(holds=False, problem=f"it gave {plain!r}, not true or false")


class Conditions:
    """Compiles conditions over one set of declared variables."""

    def __init__(self, variables: Mapping[str, CelType]) -> None:
        self._names = tuple(variables)
        self._env = cel.NewEnv(variables={name: _type(kind) for name, kind in variables.items()})

    def compile(self, text: str) -> Condition:
        """Raises CelError: syntax, unknown name, unlike types, too long, or a result that is neither true nor false."""
        if len(text) > LONGEST_CONDITION:
            raise CelError(f"{len(text)} characters long, at most {LONGEST_CONDITION} are read: split the rule", 1, 1)
        try:
            expression = self._env.compile(text)
        except RuntimeError as error:
            raise self._explained(str(error)) from None
        result = expression.return_type()
        if result not in (cel.Type.BOOL, cel.Type.DYN):
            raise CelError(f"it gives {result.name().lower()}, not true or false", 1, 1)
        return Condition(self._env, expression, text)

    def _explained(self, message: str) -> CelError:
        found = _POSITION.search(message)
        if found is None:
            return CelError(_clean(message), 1, 1)
        line, column, reason = int(found[1]), int(found[2]), _clean(found[3])
        unknown = _UNDECLARED.search(reason)
        if unknown:
            reason = f"unknown name {unknown[1]!r} (known: {', '.join(self._names)})"
        return CelError(reason, line, column)


def _type(kind: CelType) -> cel.Type:
    string, number = cel.Type.STRING, cel.Type.INT
    return {
        CelType.BOOL: cel.Type.BOOL,
        CelType.INT: number,
        CelType.DOUBLE: cel.Type.DOUBLE,
        CelType.STRING: string,
        CelType.STRINGS: cel.Type.List(string),
        CelType.INTS: cel.Type.List(number),
        CelType.NAMES: cel.Type.Map(string, string),
    }[kind]


def _clean(message: str) -> str:
    """One line, without the library's status words and container notes."""
    first = message.strip().splitlines()[0] if message.strip() else "the library gave no reason"
    first = re.sub(r"^[A-Z_]+: ", "", first)
    return re.sub(r" \(in container ''\)| \[[A-Z_]+\]$", "", first)
