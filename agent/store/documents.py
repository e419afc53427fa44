"""Nested values as JSON text that both back ends hold and that gives back exactly what was put in.

Three things that plain JSON or a TEXT column would spoil, and log text brings all of them:

- NaN and infinity (a loss that became NaN) have no JSON spelling: they are written as the strings "NaN", "Infinity"
  and "-Infinity", and read back as floats.
- NUL is refused by PostgreSQL's TEXT: JSON writes it as an escape; in plain columns it becomes U+FFFD.
- A lone surrogate is no UTF-8: it becomes U+FFFD everywhere.
"""

import math
from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec

from collectors.errors import GiveUp

T = TypeVar("T")
_ENCODER = msgspec.json.Encoder(order="sorted")


def encode(value: object, floats: Iterable[float | None] = ()) -> str:
    """JSON text with sorted keys. `floats` are the value's floats, so that the usual case costs no walk over it."""
    try:
        if all(number is None or math.isfinite(number) for number in floats):
            return _ENCODER.encode(value).decode()
    except UnicodeEncodeError:
        pass  # a lone surrogate somewhere: the walk below mends it
    return _ENCODER.encode(_spelled_out(msgspec.to_builtins(value))).decode()


def decode(text: str, kind: type[T], what: str) -> T:
    """The value back; GiveUp names `what` when the text is not such a value."""
    try:
        # Not strict: "NaN" and "Infinity" are floats here.
        return msgspec.json.decode(text, type=kind, strict=False)
    except (msgspec.DecodeError, RecursionError) as error:
        raise GiveUp(f"store: {what} cannot be read ({error}); was it written by another program?") from error


def column_text(text: str) -> str:
    """Text as a plain column of both back ends can hold it."""
    if text.isascii() and "\0" not in text:
        return text
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace").replace("\0", "\ufffd")


def _spelled_out(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, str):
        # As column_text, but NUL stays: JSON escapes it.
        return value if value.isascii() else value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    if isinstance(value, dict):
        return {_spelled_out(key): _spelled_out(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_spelled_out(item) for item in value]
    return value
