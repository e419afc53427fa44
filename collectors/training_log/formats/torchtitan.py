"""TorchTitan:

    [titan] 2026-05-18 16:04:46,338 - root - INFO - step: 14  loss:  3.24405  grad_norm:  0.8319  memory:  9.46GiB(64.99%)  tps: 7,282  tflops: 0.52  mfu: 0.17%

`tps` counts the tokens of one device, as TorchTitan does. Its validation lines (`validate step:`) are no steps.
"""  # noqa: E501 - a line as it is printed

import re

from collectors.model import EventKind
from collectors.training_log.line import LogLine, Saying
from collectors.training_log.number import NUMBER, matched

_STEP = re.compile(r"(?<!validate )\bstep:\s{1,16}(\d{1,12})\s{1,16}loss:\s", re.ASCII)
_PAIR = re.compile(rf"\b(loss|grad_norm|tps|lr|learning_rate):\s{{1,16}}({NUMBER})", re.ASCII)
_NAMES = {
    "loss": "loss",
    "grad_norm": "grad_norm",
    "lr": "learning_rate",
    "learning_rate": "learning_rate",
    "tps": "tokens_per_second",
}


class Reader:
    """Reads the step line."""

    words = ("loss:",)

    def read(self, line: LogLine) -> list[Saying]:
        """One saying, or none."""
        match = _STEP.search(line.text)
        if match is None:
            return []
        values = {"step": float(match[1])}
        for name, number in _PAIR.findall(line.text, match.start()):
            values[_NAMES[name]] = matched(number)
        return [Saying(EventKind.TRAINING_STEP, values)]
