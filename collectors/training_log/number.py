"""Numbers as training logs print them."""

import re

NUMBER = r"[-+]?(?:\d+(?:,\d{3})*(?:\.\d*)?(?:[eE][-+]?\d{1,4})?|\.\d+|[nN][aA][nN]|[iI]nf(?:inity)?|INF)(?![\w.])"
"""A number, with thousands separators, or NaN or infinity in any spelling; not the head of a longer word (`nanms`)."""
_WHOLE = re.compile(NUMBER, re.ASCII)
_MOST_CHARACTERS = 64


def to_float(text: str) -> float | None:
    """`7,282`, `1.5E-04`, `NAN`, `-inf` as a float; None if it is no number."""
    text = text.strip()
    if len(text) > _MOST_CHARACTERS or _WHOLE.fullmatch(text) is None:
        return None
    return float(text.replace(",", ""))


def matched(text: str) -> float:
    """The same for text that `NUMBER` has matched already."""
    return float(text.replace(",", "") if "," in text else text)


def put(values: dict[str, float], name: str, text: str | None, factor: float = 1.0) -> None:
    """Store a number under a name, if the text is one."""
    number = None if text is None else to_float(text)
    if number is not None:
        values[name] = number * factor
