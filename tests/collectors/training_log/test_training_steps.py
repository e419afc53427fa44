"""Step lines of every trainer that Watchstander reads, verbatim from public logs and from the recordings."""

import math
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.model import Event, EventKind, EventSource, Subject, SubjectKind
from collectors.training_log import TrainingLogParser, formats

RECORDINGS = Path(__file__).parents[3] / "recordings"
JOB = Subject("prod", SubjectKind.JOB, "job-1")
SEEN_NS = 1_795_317_164_000_000_000


def parse(*lines: str) -> list[Event]:
    parser = TrainingLogParser(JOB)
    return [event for line in lines for event in parser.parse(line.encode(), SEEN_NS)]


def steps_of(*lines: str) -> list[dict[str, float]]:
    return [event.values for event in parse(*lines) if event.kind is EventKind.TRAINING_STEP]


HUGGING_FACE = (
    "{'loss': 3.5534, 'grad_norm': 1.4142135381698608, 'learning_rate': 2.0454545454545457e-06, 'epoch': 0.01}"
)
MEGATRON_SKIPPED = (
    " [2025-04-13 23:41:12] iteration       10/    1000 | consumed samples:          160 | elapsed time per iteration "
    "(ms): 1147.6 | learning rate: 0.000000E+00 | global batch size:    16 | loss scale: 8388608.0 | number of skipped "
    "iterations:  10 | number of nan iterations:   0 |"
)
MEGATRON_DEEPSPEED = (
    "[default7]: iteration    31219/  115311 | consumed samples:     47778736 | consumed tokens:  97850851328 | "
    "elapsed time per iteration (s): 106.36 | learning rate: 5.279E-05 | global batch size:  2048 | "
    "lm loss: 5.098124E+00 | "
    "grad norm: 960.351 | num zeros: 0.0 | number of skipped iterations:   0 | number of nan iterations:   0 | "
    "samples per second: 19.256 | TFLOPs: 147.43 |"
)
TORCHTITAN = (
    "[rank0]:[titan] 2026-05-18 16:04:46,338 - root - INFO - \x1b[31mstep: 14  \x1b[32mloss:  3.24405  "
    "\x1b[38;2;180;60;0mgrad_norm:  0.8319  \x1b[38;2;54;234;195mmemory:  9.46GiB(64.99%)  "
    "\x1b[34mtps: 7,282  \x1b[36mtflops: 0.52  \x1b[35mmfu: 0.17%\x1b[39m"
)


@pytest.mark.parametrize(
    ("line", "values"),
    [
        pytest.param(
            HUGGING_FACE,
            {"step": 1.0, "loss": 3.5534, "grad_norm": 1.4142135381698608, "learning_rate": 2.0454545454545457e-06},
            id="hugging-face",
        ),
        pytest.param(
            "{'loss': '0.5', 'grad_norm': '1.25', 'learning_rate': '1e-05', 'epoch': '2'}",
            {"step": 1.0, "loss": 0.5, "grad_norm": 1.25, "learning_rate": 1e-05},
            id="hugging-face-5",
        ),
        pytest.param(
            '{"current_steps": 10, "total_steps": 8660, "loss": 2.4977, "learning_rate": 5.7e-07}',
            {"step": 10.0, "loss": 2.4977, "learning_rate": 5.7e-07},
            id="llama-factory",
        ),
        pytest.param(
            "{'loss': 5.7, 'grad_norm': 10.7, 'learning_rate': 1.5e-06, 'step': 2, 'data_time': 2.9, 'step_time': 4.7}",
            {
                "step": 2.0,
                "loss": 5.7,
                "grad_norm": 10.7,
                "learning_rate": 1.5e-06,
                "data_wait_seconds": 2.9,
                "step_time_seconds": 4.7,
            },
            id="recording",
        ),
        pytest.param(
            TORCHTITAN,
            {"step": 14.0, "loss": 3.24405, "grad_norm": 0.8319, "tokens_per_second": 7282.0},
            id="torchtitan",
        ),
        pytest.param(
            MEGATRON_SKIPPED,
            {
                "step": 10.0,
                "step_time_seconds": 1.1476,
                "learning_rate": 0.0,
                "loss_scale": 8388608.0,
                "skipped_steps": 10.0,
                "nan_steps": 0.0,
            },
            id="megatron-all-skipped",
        ),
        pytest.param(
            MEGATRON_DEEPSPEED,
            {
                "step": 31219.0,
                "step_time_seconds": 106.36,
                "learning_rate": 5.279e-05,
                "loss": 5.098124,
                "grad_norm": 960.351,
                "skipped_steps": 0.0,
                "nan_steps": 0.0,
            },
            id="megatron-deepspeed-seconds",
        ),
        pytest.param(
            "iteration 5/ 10 | elapsed time per iteration (ms): 2701.3/2712.7 | lm loss: 1.2E+01 |",
            {"step": 5.0, "step_time_seconds": 2.7013, "loss": 12.0},
            id="primus",
        ),
        pytest.param(
            "iter 2990: loss 3.8853, time 1096.65ms, mfu 15.34%",
            {"step": 2990.0, "loss": 3.8853, "step_time_seconds": 1.09665},
            id="nanogpt",
        ),
        pytest.param(
            "step:5964/20344 train_loss:5.7021 train_time:10145045ms step_avg:1703.90ms",
            {"step": 5964.0, "loss": 5.7021},
            id="modded-nanogpt",
        ),
        pytest.param("step:116/2160 train_time:4189ms step_avg:36.11ms", {"step": 116.0}, id="modded-nanogpt-new"),
        pytest.param(
            "step:1/6200 train_loss:10.9184 train_time:74701ms step_avg:nanms",
            {"step": 1.0, "loss": 10.9184},
            id="step-avg-nanms-is-no-nan-loss",
        ),
    ],
)
def test_a_step_line_gives_what_it_says_and_nothing_else(line: str, values: dict[str, float]):
    [actual] = steps_of(line)

    assert actual == pytest.approx(values, rel=1e-12)


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("{'loss': 0.0, 'grad_norm': nan, 'learning_rate': 1e-05, 'epoch': 0.1}", id="masked-nan"),
        pytest.param("step: 14  loss: 0.0  grad_norm:  nan  memory:  9.46GiB(64.99%)  tps: 7,282", id="torchtitan"),
        pytest.param(
            "iteration 5/ 10 | elapsed time per iteration (ms): 2.0 | lm loss: 0.0 | grad norm: NAN |", id="megatron"
        ),
    ],
)
def test_a_zero_loss_beside_a_nan_gradient_is_kept_as_printed(line: str):
    [values] = steps_of(line)

    assert values["loss"] == 0.0
    assert math.isnan(values["grad_norm"])


@pytest.mark.parametrize("word", ["nan", "NaN", "NAN"])
def test_nan_is_kept_in_every_spelling(word: str):
    [values] = steps_of(f"iter 3010: loss {word}, time 1019.95ms, mfu 14.12%")

    assert math.isnan(values["loss"])


@pytest.mark.parametrize(("word", "expected"), [("inf", math.inf), ("-inf", -math.inf), ("Infinity", math.inf)])
def test_infinity_is_kept_in_every_spelling(word: str, expected: float):
    [values] = steps_of(f'{{"loss": {word}, "step": 3}}')

    assert values["loss"] == expected


def test_hugging_face_steps_are_taken_from_the_training_bar_and_no_other():
    values = steps_of(
        "Loading checkpoint shards:  50%|█████     | 1/2 [00:01<00:01,  1.0s/it]",
        "  1%|          | 10/1752 [00:29<1:22:01,  2.83s/it]",
        HUGGING_FACE,
        " 80%|████████  | 40/50 [00:09<00:02,  4.1it/s]",
        "  1%|          | 19/1752 [00:50<1:22:01,  2.83s/it]\r  1%|          | 20/1752 [00:52<1:22:01,  2.83s/it]",
        HUGGING_FACE,
    )

    assert [step["step"] for step in values] == [10.0, 20.0]


def test_hugging_face_steps_are_counted_where_nothing_names_them():
    assert [step["step"] for step in steps_of(HUGGING_FACE, HUGGING_FACE, HUGGING_FACE)] == [1.0, 2.0, 3.0]


def test_a_dict_behind_a_progress_bar_on_the_same_line_is_read():
    [values] = steps_of(f"  1%|          | 10/1752 [00:29<1:22:01,  2.83s/it]\r{HUGGING_FACE}")

    assert (values["step"], values["loss"]) == (10.0, 3.5534)


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("{'eval_loss': 2.1, 'eval_runtime': 11.2, 'epoch': 1.0}", id="hugging-face-evaluation"),
        pytest.param("{'train_runtime': 31289.7, 'train_loss': 0.0, 'epoch': 1.5}", id="hugging-face-end"),
        pytest.param("validate step: 10  loss:  7.1  memory:  9.46GiB(64.99%)  tps: 7,282", id="torchtitan-validation"),
        pytest.param(" validation loss at iteration 7000 | lm loss value: 7.174200E+00 |", id="megatron-validation"),
        pytest.param("step 3000: train loss 4.0390, val loss 4.0427", id="nanogpt-evaluation"),
        pytest.param("step:120/2160 val_loss:4.8811 train_time:4189ms", id="modded-nanogpt-validation"),
        pytest.param("we lost the loss: it is {'loss'}", id="prose"),
    ],
)
def test_lines_that_resemble_steps_are_none(line: str):
    assert steps_of(line) == []


@pytest.mark.parametrize(
    ("recording", "steps", "first"),
    [
        ("h200-training", 1851, {"step": 1.0, "loss": 5.7105}),
        ("h200-ddp", 1284, {"step": 1.0, "loss": 5.7263}),
        ("h200-ddp4", 1249, {"step": 1.0, "loss": 5.722538}),
    ],
)
def test_every_step_of_a_real_recording_is_read_in_order_of_time(recording: str, steps: int, first: dict[str, float]):
    parser = TrainingLogParser(JOB)
    lines = (RECORDINGS / recording / "train.log").read_bytes().splitlines()

    events = [event for line in lines for event in parser.parse(line, 0) if event.kind is EventKind.TRAINING_STEP]

    assert len(events) == parser.counters.steps == steps
    assert first == {name: events[0].values[name] for name in first}
    assert {event.source for event in events} == {EventSource.TRAINING_LOG}
    assert [event.time_ns for event in events] == sorted(event.time_ns for event in events)


def test_a_new_format_needs_a_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "our_trainer.py").write_text(
        "from collectors.model import EventKind\n"
        "from collectors.training_log.line import Saying\n"
        "class Reader:\n"
        "    words = ('our step',)\n"
        "    def read(self, line):\n"
        "        return [Saying(EventKind.TRAINING_STEP, {'step': float(line.text.split()[-1])})]\n"
    )
    monkeypatch.setattr(formats, "__path__", [*formats.__path__, str(tmp_path)])
    try:
        assert steps_of("our step 7", HUGGING_FACE)[0] == {"step": 7.0}
    finally:
        sys.modules.pop("collectors.training_log.formats.our_trainer", None)


NUMBERS = st.floats(allow_nan=True, allow_infinity=True, width=64)


@settings(deadline=None)
@given(step=st.integers(0, 10**9), loss=NUMBERS, norm=NUMBERS, rate=st.floats(0, 1))
def test_every_dict_that_hugging_face_can_print_is_read_back(step: int, loss: float, norm: float, rate: float):
    printed = {"loss": loss, "grad_norm": norm, "learning_rate": rate, "epoch": 0.5, "step": step}

    [values] = steps_of(str(printed))

    assert values == pytest.approx(
        {"step": step, "loss": loss, "grad_norm": norm, "learning_rate": rate}, rel=1e-15, nan_ok=True
    )
