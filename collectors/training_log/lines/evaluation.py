"""Evaluations, in the wordings of Hugging Face, TorchTitan, Megatron, nanoGPT, modded-nanogpt.

Most print only their result, which is the end. `evaluation_loss` never is a training loss.
"""

import re

from collectors.model import EventKind
from collectors.training_log.line import LogLine, Saying
from collectors.training_log.number import NUMBER, put

_START = re.compile(
    r"\*{3,} Running (?:evaluation|prediction|validation)|^\s{0,8}Evaluating (?:on \d|iter 1/)", re.IGNORECASE
)
_HUGGING_FACE = re.compile(rf"""["']eval_loss["']: ?["']?({NUMBER})""", re.ASCII)
_HUGGING_FACE_RUNTIME = re.compile(rf"""["']eval_runtime["']: ?["']?({NUMBER})""", re.ASCII)
_END = tuple(
    re.compile(pattern, re.ASCII)
    for pattern in (
        rf"\bvalidate step:\s{{1,16}}(?P<step>\d{{1,12}})\s{{1,16}}loss:\s{{1,16}}(?P<loss>{NUMBER})",
        rf"\bvalidation loss at iteration (?P<step>\d{{1,12}})[^|]{{0,64}}\| lm loss value: (?P<loss>{NUMBER})",
        rf"^\s{{0,8}}step (?P<step>\d{{1,12}}): train loss {NUMBER}, val loss (?P<loss>{NUMBER})",
        rf"\bstep:(?P<step>\d{{1,12}})/\d{{1,12}} val_loss:(?P<loss>{NUMBER})",
    )
)


class Reader:
    """Reads one line at a time."""

    words = ("Running ", "Evaluating ", "eval_loss", "validate step", "validation loss", "val loss", "val_loss")

    def read(self, line: LogLine) -> list[Saying]:
        """One saying, or none."""
        text = line.text
        if _START.search(text) is not None:
            return [Saying(EventKind.EVALUATION_START)]
        values: dict[str, float] = {}
        if (found := _HUGGING_FACE.search(text)) is not None:
            put(values, "evaluation_loss", found[1])
            if (runtime := _HUGGING_FACE_RUNTIME.search(text)) is not None:
                put(values, "duration_seconds", runtime[1])
            return [Saying(EventKind.EVALUATION_END, values)]
        for pattern in _END:
            if (match := pattern.search(text)) is not None:
                put(values, "step", match["step"])
                put(values, "evaluation_loss", match["loss"])
                return [Saying(EventKind.EVALUATION_END, values)]
        return []
