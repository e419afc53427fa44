"""CUDA errors, and CUDA's being out of memory.

`CUDA error: out of memory` (the runtime's own words) is a CUDA error: after a device's ECC error, new processes see it
on an empty GPU. `CUDA out of memory. Tried to allocate ..` is the allocator's, with figures.
"""

import re

from collectors.model import EventKind
from collectors.training_log.line import LogLine, Saying

_OUT_OF_MEMORY = re.compile(
    r"CUDA out of memory\b[^T]{0,40}(?:Tried to allocate ([\d.]{1,20}) ?([KMGTPE]?i?B)\b)?", re.ASCII
)
_GPU = re.compile(r"\bGPU (\d{1,4})[; ]", re.ASCII)
_FREE = re.compile(
    r"(?:of which ([\d.]{1,20}) ?([KMGTPE]?i?B) is free|[;,] ([\d.]{1,20}) ?([KMGTPE]?i?B) free)", re.ASCII
)
_TOTAL = re.compile(
    r"(?:total capacity of ([\d.]{1,20}) ?([KMGTPE]?i?B)|; ([\d.]{1,20}) ?([KMGTPE]?i?B) total capacity)", re.ASCII
)
_ERROR = re.compile(r"CUDA (?:driver )?error: ?(?P<said>.{1,300})", re.DOTALL)
_FAILURE = re.compile(r"Cuda failure (?:(?P<code>\d{1,6}) )?'(?P<said>[^']{1,300})'")
_NAMED = re.compile(r"\b(?P<name>cudaError\w{1,64}): (?P<said>.{1,300})", re.DOTALL)
_UNITS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}


class Reader:
    """Reads one line at a time."""

    words = ("CUDA out of memory", "CUDA error", "CUDA driver error", "Cuda failure", "cudaError")

    def read(self, line: LogLine) -> list[Saying]:
        """One saying, or none."""
        text = line.text
        out_of_memory = _OUT_OF_MEMORY.search(text)
        if out_of_memory is not None:
            return [_out_of_memory(text, out_of_memory)]
        for pattern in (_ERROR, _NAMED, _FAILURE):
            match = pattern.search(text)
            if match is not None:
                found = match.groupdict()
                values = {"code": float(found["code"])} if found.get("code") else {}
                attributes = {"detail": found["said"].strip(), "name": found.get("name") or ""}
                return [Saying(EventKind.CUDA_ERROR, values, attributes)]
        return []


def _out_of_memory(text: str, match: re.Match[str]) -> Saying:
    values: dict[str, float] = {}
    if match[1] is not None:
        _put(values, "asked_bytes", match[1], match[2])
    for name, pattern in (("free_bytes", _FREE), ("total_bytes", _TOTAL)):
        found = pattern.search(text)
        if found is not None:
            _put(values, name, found[1] or found[3], found[2] or found[4])
    gpu = _GPU.search(text)
    attributes = {"detail": text[match.start() :][:200], "gpu": gpu[1] if gpu is not None else ""}
    return Saying(EventKind.CUDA_OUT_OF_MEMORY, values, attributes)


def _put(values: dict[str, float], name: str, number: str, unit: str) -> None:
    try:
        values[name] = float(round(float(number) * 1024 ** _UNITS[unit.rstrip("B").rstrip("i")]))
    except ValueError:
        return  # `1.2.3 GiB`
