"""A settings file: YAML that fits a Struct, or one line on what does not fit, where, and what to do."""

from pathlib import Path
from typing import TypeVar

import msgspec
import yaml

from collectors.errors import FixConfiguration

T = TypeVar("T", bound=msgspec.Struct)
LONGEST_REASON = 300
"""Characters of a reader's own words that are passed on."""


def read_settings(path: Path, kind: type[T], page: str) -> T | None:
    """What the file says, None where it says nothing. FixConfiguration names the file, the field and what is wrong.

    `page` is the document that lists the settings. A key that stands twice is refused: the library takes the last.
    """
    try:
        raw = path.read_bytes()
        if not raw.strip():
            return None
        found: T | None = msgspec.yaml.decode(raw, type=kind | None)
        _refuse_double_keys(raw)
    except OSError as error:
        raise FixConfiguration(f"settings {path}: {error.strerror}; name a file that can be read") from None
    except msgspec.ValidationError as error:
        raise FixConfiguration(f"settings {path}: {error}; {page} lists all settings") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        reason = " ".join(str(error).split())[:LONGEST_REASON]
        raise FixConfiguration(f"settings {path}: not YAML: {reason}") from None
    except FixConfiguration as error:
        raise FixConfiguration(f"settings {path}: {error}") from None
    return found


def _refuse_double_keys(raw: bytes) -> None:
    left = [yaml.compose(raw, Loader=yaml.SafeLoader)]
    seen = set()  # an alias leads to a node a second time
    while left:
        node = left.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            left += node.value
        elif isinstance(node, yaml.MappingNode):
            keys = set()
            for key, value in node.value:
                if key.value in keys:
                    line = key.start_mark.line + 1
                    raise FixConfiguration(f"line {line}: {str(key.value)[:60]!r} stands twice: remove one")
                keys.add(key.value)
                left.append(value)
