"""Checkpoint saves and restores, in the wordings of Hugging Face, TorchTitan, Megatron, nanoGPT, DeepSpeed.

Hugging Face and nanoGPT print no end of a save. A restore is one event, at its beginning; the line that it has
succeeded adds nothing. Loading of a pretrained model (`Loading checkpoint shards`) is no restore.
"""

import re

from collectors.model import EventKind
from collectors.training_log.line import LogLine, Saying
from collectors.training_log.number import put

_TO = r"(?P<path>\S{1,1024})"
_AT = r"at iteration\s{1,16}(?P<step>\d{1,12})"
_ADVERBS = r"(?:the |a |full |model |distributed |release |async )*"
_START = tuple(
    re.compile(pattern, re.IGNORECASE | re.ASCII)
    for pattern in (
        rf"\bsaving {_ADVERBS}checkpoint {_AT}(?: to {_TO})?",
        rf"\bscheduled an async checkpoint save {_AT}(?: to {_TO})?",
        rf"\bsaving {_ADVERBS}checkpoint (?:to|in|into) {_TO}",
        r"\bsaving the checkpoint \(or staging\b",
        rf"\bsaving {_ADVERBS}checkpoint at (?:last )?step\W{{1,3}}(?:step )?(?P<step>\d{{1,12}})",
        r"\bcheckpoint (?P<tag>\S{1,255}) is about to be saved",
    )
)
_END = tuple(
    re.compile(pattern, re.IGNORECASE | re.ASCII)
    for pattern in (
        rf"\bsuccessfully saved checkpoint (?:from iteration\s{{1,16}}(?P<from>\d{{1,12}})|{_AT})(?: to {_TO})?",
        r"\bfinished saving the checkpoint\b[^\d]{0,64}(?P<seconds>[\d.]{1,16}) ?s",
        r"\bcheckpoint saved in (?P<seconds>[\d.]{1,16}) ?s",
        rf"\bcheckpoint saved (?:to|at) {_TO}",
        r"\bcheckpoint (?P<tag>\S{1,255}) is ready now",
    )
)
_RESTORE = tuple(
    re.compile(pattern, re.IGNORECASE | re.ASCII)
    for pattern in (
        rf"(?<!successfully )\bloading {_ADVERBS}checkpoint from {_TO}(?: {_AT})?",
        r"\bloading the checkpoint at step (?P<step>\d{1,12})",
        rf"\bresuming (?:training )?from (?:the )?(?:checkpoint|iteration)\W{{1,3}}{_TO}",
        rf"\bLoading model from {_TO}",
    )
)
_KINDS = (
    (EventKind.CHECKPOINT_END, _END),
    (EventKind.CHECKPOINT_START, _START),
    (EventKind.CHECKPOINT_RESTORE, _RESTORE),
)
_STEP_IN_NAME = re.compile(
    r"(?:checkpoint|global_step|iter|step)[-_]?0{0,12}(\d{1,12})(?!\d)", re.ASCII | re.IGNORECASE
)


class Reader:
    """Reads one line at a time."""

    words = ("heckpoint", "CHECKPOINT", "Loading model from")

    def read(self, line: LogLine) -> list[Saying]:
        """One saying, or none."""
        for kind, patterns in _KINDS:
            for pattern in patterns:
                match = pattern.search(line.text)
                if match is not None:
                    return [_saying(kind, match.groupdict())]
        return []


def _saying(kind: EventKind, found: dict[str, str | None]) -> Saying:
    values: dict[str, float] = {}
    path = (found.get("path") or "").rstrip(".,;:\"'")
    put(values, "duration_seconds", found.get("seconds"))
    put(values, "step", found.get("step") or found.get("from"))
    named = _STEP_IN_NAME.search(found.get("tag") or path.rsplit("/", 1)[-1])
    if "step" not in values and named is not None:
        values["step"] = float(named[1])
    return Saying(kind, values, {"path": path})
