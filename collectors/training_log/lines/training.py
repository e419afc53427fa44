"""Start and orderly end of a training, in the wordings of Hugging Face, TorchTitan, Megatron, Lightning."""

import re

from collectors.model import EventKind
from collectors.training_log.line import LogLine, Saying
from collectors.training_log.number import NUMBER, put

_START = re.compile(
    r"\*{3,} Running training \*{3,}"
    r"|\bTraining starts at step (?P<step>\d{1,12})"
    r"|^\s{0,8}\[before the start of training step\]"
)
_RUNTIME = re.compile(rf"""["']train_runtime["']: ?["']?({NUMBER})""", re.ASCII)
_END = re.compile(
    r"^(?:.{0,120}\bINFO\b.{0,20})?\s{0,8}Training completed\b"
    r"|^\s{0,8}\[after training is done\]"
    r"|\bexiting program (?:at iteration\s{1,16}(?P<step>\d{1,12})|after [\d.]{1,16} minutes)"
    r"|`Trainer\.fit` stopped: "
)


class Reader:
    """Reads one line at a time."""

    words = (
        "Running training",
        "Training starts",
        "start of training",
        "train_runtime",
        "Training completed",
        "training is done",
        "exiting program",
        "Trainer.fit",
    )

    def read(self, line: LogLine) -> list[Saying]:
        """One saying, or none."""
        values: dict[str, float] = {}
        if (runtime := _RUNTIME.search(line.text)) is not None:
            put(values, "duration_seconds", runtime[1])
            return [Saying(EventKind.TRAINING_END, values)]
        for kind, pattern in ((EventKind.TRAINING_START, _START), (EventKind.TRAINING_END, _END)):
            if (match := pattern.search(line.text)) is not None:
                put(values, "step", match["step"])
                return [Saying(kind, values)]
        return []
