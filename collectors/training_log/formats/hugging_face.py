"""Hugging Face Trainer, and what is built on it (TRL, Axolotl, LLaMA-Factory): one dict a step.

    {'loss': 3.5534, 'grad_norm': 1.4142135381698608, 'learning_rate': 2.0454545454545457e-06, 'epoch': 0.01}

The dict rarely says its step. It is taken from a `step` key, else from tqdm's bar beside it, else counted in dicts.
A run that filters NaN prints `'loss': 0.0` with `'grad_norm': nan`: both are passed on as printed.
"""

import re

from collectors.model import EventKind
from collectors.training_log.line import LogLine, Saying
from collectors.training_log.number import NUMBER, matched

_DICT = re.compile(r"\{[^{}]*\}")
_PAIR = re.compile(rf"""["'](\w{{1,64}})["']: ?["']?({NUMBER})["']?""", re.ASCII)
# A bar with a description is not the training's: loading of shards, tokenisation.
_BAR = re.compile(r"\s{0,8}\d{1,3}%\|[^|]{0,512}\| (\d{1,12})/(\d{1,12}) \[", re.ASCII)
_TOTAL = re.compile(r"Total optimization steps = ([\d,]{1,16})", re.ASCII)
_NAMES = {
    "step": "step",
    "global_step": "step",
    "current_steps": "step",
    "loss": "loss",
    "grad_norm": "grad_norm",
    "learning_rate": "learning_rate",
    "step_time": "step_time_seconds",
    "data_time": "data_wait_seconds",
    "tokens_per_second": "tokens_per_second",
    "loss_scale": "loss_scale",
}


class Reader:
    """Reads the dict; watches tqdm's bar for the step."""

    words = ("loss", "%|", "Total optimization steps", "Running training")

    def __init__(self) -> None:
        self._counted = 0
        self._bar_step: int | None = None
        self._bar_total: int | None = None

    def read(self, line: LogLine) -> list[Saying]:
        """One saying for each dict with a `loss`."""
        text = line.text
        if (bar := _BAR.match(text)) is not None:
            self._watch(int(bar[1]), int(bar[2]))
        elif (total := _TOTAL.search(text)) is not None:
            self._bar_total = int(total[1].replace(",", "") or 0)
        elif "***** Running training" in text:
            self._counted, self._bar_step, self._bar_total = 0, None, None
        if "loss'" not in text and 'loss"' not in text:
            return []
        return [saying for found in _DICT.finditer(text) if (saying := self._step(found[0])) is not None]

    def _watch(self, step: int, total: int) -> None:
        # The first bar is the training's; the evaluation's comes and goes beside it, with another total.
        if self._bar_total is None:
            self._bar_total = total
        if total == self._bar_total:
            self._bar_step = step

    def _step(self, text: str) -> Saying | None:
        pairs = dict(_PAIR.findall(text))
        if "loss" not in pairs or "train_runtime" in pairs:
            return None
        self._counted += 1
        values: dict[str, float] = {}
        for key, number in pairs.items():
            name = _NAMES.get(key)
            if name is not None:
                values[name] = matched(number)
        if "step" not in values:
            values["step"] = float(self._counted if self._bar_step is None else self._bar_step)
        return Saying(EventKind.TRAINING_STEP, values)
