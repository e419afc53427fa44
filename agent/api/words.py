"""How hostile text, times, figures and places are put into words: one way for the command line and the web page."""

import math
import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from collectors.model import Subject

_ESCAPES = re.compile(
    r"""
      (?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]                       # CSI: colours, cursor, screen
    | (?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])                   # OSC, DCS, SOS, PM, APC: titles, links, clipboard ...
      [^\x07\x1b\x9c]{0,4096}(?:\x07|\x1b\\|\x9c)            #   ... up to their terminator; without one, they stay
    | \x1b[ -/]*[0-~]                                        # two-character escapes: character sets, reset
    """,
    re.VERBOSE,
)
_GONE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
"""Controls, format characters (bidi overrides, zero width, tags), halves of pairs, private and unassigned."""
_SPACES = frozenset("\t\n\v\f\r\x85\u2028\u2029")
_MOST_MARKS = 3
"""Combining marks on one letter: more than three are no language but a way of writing over the lines above."""


def plain(text: str, *, keep_lines: bool = False) -> str:
    """Text that a terminal or a browser shows as it stands and obeys in nothing.

    Terminal escape sequences go as a whole; so do control and format characters, among them the bidi overrides that
    make a line read other than it is. Tabs and line ends become one space each (`keep_lines` keeps "\\n"). What is
    left is not markup for anyone who does not parse it: rich gets it as `Text`, jinja2 escapes it.
    """
    if text.isascii() and text.isprintable():
        return text
    kept: list[str] = []
    marks = 0
    for character in _ESCAPES.sub("", text.replace("\r\n", "\n")):
        if character in _SPACES:
            kept.append("\n" if keep_lines and character == "\n" else " ")
            continue
        category = unicodedata.category(character)
        if category in _GONE:
            continue
        marks = marks + 1 if category in ("Mn", "Me") else 0
        if marks <= _MOST_MARKS:
            kept.append(character)
    return "".join(kept)


def utc(time_ns: int) -> str:
    """`2026-11-22 03:12:10 UTC`; times beyond the calendar as the bare number."""
    try:
        moment = datetime.fromtimestamp(time_ns // 1_000_000_000, UTC)
    except (OverflowError, ValueError, OSError):
        return f"{time_ns} ns"
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def duration(seconds: float) -> str:
    """The two largest units: `45 s`, `3 min 20 s`, `2 h 5 min`, `4 d 3 h`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    for size, unit, below, lower in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // below
            return f"{whole // size} {unit} {rest} {lower}" if rest else f"{whole // size} {unit}"
    return f"{whole} s"


def counted(number: int, thing: str) -> str:
    """`1 finding`, `8 findings`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def ago(time_ns: int, now_ns: int) -> str:
    """`3 min 20 s ago`; a time ahead of `now_ns` (a clock that is off) as `in 5 s`."""
    seconds = (now_ns - time_ns) / 1e9
    return f"in {duration(-seconds)}" if seconds <= -1 else f"{duration(seconds)} ago"


_SCALES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_BINARY = ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))
_SYMBOLS = {"watts": "W", "hertz": "Hz", "celsius": "°C", "seconds": "s", "joules": "J"}


def figure(value: float | str, unit: str = "") -> str:
    """A value with its unit as people write it: `1.46 GHz`, `98 %` (of `ratio`), `78.2 GiB`, `12,400 tokens/s`."""
    if isinstance(value, str):
        return f"{value} {_SYMBOLS.get(unit, unit)}".strip()
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("infinity" if value > 0 else "-infinity")
    if unit == "ratio":
        return f"{_number(value * 100)} %"
    if unit == "bytes":
        for size, name in _BINARY:
            if abs(value) >= size:
                return f"{_number(value / size)} {name}"
    if unit in ("hertz", "bytes/s"):
        symbol = _SYMBOLS.get(unit, "B/s")
        for scale, prefix in _SCALES:
            if abs(value) >= scale:
                return f"{value / scale:.3g} {prefix}{symbol}"
    return f"{_number(value)} {_SYMBOLS.get(unit, unit)}".strip()


def _number(value: float) -> str:
    size = abs(value)
    if size >= 1e15:
        return f"{value:.3g}"
    if value == int(value):
        return f"{int(value):,}"
    if size >= 1000:
        return f"{value:,.0f}"
    if size >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}" if size < 1 else f"{value:.1f}"


def where(names: Mapping[str, str], subject: Subject) -> str:
    """`node-7 / GPU 3 / rank 59 / job llama-70b` by the names known; the subject's own id where none is."""
    parts = []
    if "node" in names:
        parts.append(plain(names["node"]))
    if "gpu" in names:
        parts.append(f"GPU {plain(names['gpu'])}")
    if "rank" in names:
        parts.append(f"rank {plain(names['rank'])}")
    if "job" in names:
        parts.append(f"job {plain(names['job'])}")
    return " / ".join(parts) or f"{subject.kind.value} {plain(subject.id)}"


def audit_line(detail: str) -> str:
    """What an audit entry's detail (JSON) says, in a sentence: a decision's verdict and reason, an incident's title."""
    try:
        said = msgspec.json.decode(detail)
    except (msgspec.DecodeError, RecursionError):
        return detail
    if not isinstance(said, dict):
        return detail
    if isinstance(said.get("reason"), str) and isinstance(said.get("verdict"), str):
        return f"{said['verdict'].replace('_', ' ')}: {said['reason']}"
    return said["title"] if isinstance(said.get("title"), str) else detail
