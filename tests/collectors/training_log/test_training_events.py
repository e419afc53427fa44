"""All lines of a training log but its steps, in the wordings of several trainers and launchers."""

from pathlib import Path

import pytest

from collectors.model import Event, EventKind, Subject, SubjectKind
from collectors.training_log import TrainingLogParser

RECORDINGS = Path(__file__).parents[3] / "recordings"
JOB = Subject("prod", SubjectKind.JOB, "job-1")
SEEN_NS = 1_795_317_164_000_000_000


def parse(*lines: str, rank: int | None = None) -> list[Event]:
    parser = TrainingLogParser(JOB, rank)
    return [event for line in lines for event in parser.parse(line.encode(), SEEN_NS)]


def told(*lines: str) -> list[tuple[EventKind, dict[str, float], dict[str, str]]]:
    return [(event.kind, event.values, event.attributes) for event in parse(*lines)]


START, END, RESTORE = EventKind.CHECKPOINT_START, EventKind.CHECKPOINT_END, EventKind.CHECKPOINT_RESTORE


@pytest.mark.parametrize(
    ("line", "kind", "values", "path"),
    [
        pytest.param(
            "Saving model checkpoint to /ckpt/checkpoint-619", START, {"step": 619}, "/ckpt/checkpoint-619", id="hf"
        ),
        pytest.param("Saving the checkpoint (or staging if async is enabled).", START, {}, None, id="torchtitan"),
        pytest.param(
            "saving checkpoint at iteration   33241 to /gpfs/x", START, {"step": 33241}, "/gpfs/x", id="megatron"
        ),
        pytest.param("saving checkpoint to out", START, {}, "out", id="nanogpt"),
        pytest.param(
            "[Rank 0] [Torch] Checkpoint global_step100 is about to be saved!",
            START,
            {"step": 100},
            None,
            id="deepspeed",
        ),
        pytest.param(
            "  successfully saved checkpoint at iteration   33241 to /gpfs/x",
            END,
            {"step": 33241},
            "/gpfs/x",
            id="megatron-end",
        ),
        pytest.param("Checkpoint saved in 3.23s", END, {"duration_seconds": 3.23}, None, id="recording-end"),
        pytest.param(
            "Finished saving the checkpoint (or staging if async is enabled)in 12.30 seconds.",
            END,
            {"duration_seconds": 12.3},
            None,
            id="torchtitan-end",
        ),
        pytest.param("[Torch] Checkpoint global_step100 is ready now!", END, {"step": 100}, None, id="deepspeed-end"),
        pytest.param("Loading checkpoint from /ckpt (resuming training)", RESTORE, {}, "/ckpt", id="recording-restore"),
        pytest.param(
            " loading distributed checkpoint from /x at iteration 1000",
            RESTORE,
            {"step": 1000},
            "/x",
            id="megatron-restore",
        ),
        pytest.param(
            "[Torch] Loading checkpoint from /x/global_step100/a.pt...",
            RESTORE,
            {},
            "/x/global_step100/a.pt",
            id="deepspeed-restore",
        ),
        pytest.param(
            "Loading the checkpoint from outputs/checkpoint/step-500.",
            RESTORE,
            {"step": 500},
            "outputs/checkpoint/step-500",
            id="torchtitan-restore",
        ),
    ],
)
def test_checkpoints_are_told_in_every_trainers_words(line: str, kind: EventKind, values: dict, path: str | None):
    [event] = parse(line)

    assert event.kind == kind
    assert event.values == values
    assert event.attributes.get("path") == path


@pytest.mark.parametrize(
    "line",
    [
        "Loading checkpoint shards:  50%|█████     | 1/2 [00:01<00:01,  1.0s/it]",
        "successfully loaded checkpoint from /x [ t 1/1, p 1/1 ] at iteration 1000",
        "Deleting older checkpoint [/ckpt/checkpoint-600] due to args.save_total_limit",
        "gradient checkpointing is enabled",
        "Number of parameters: 253499648, world size 1, torch 2.11.0+cu130",
        "NCCL version 2.28.9+cuda13.0",
        "nccl watchdog is running",
        "DataLoader uses 4 workers",
        "step_avg:nanms",
        "",
    ],
)
def test_lines_that_resemble_events_are_none(line: str):
    assert parse(line) == []


@pytest.mark.parametrize(
    ("line", "kind", "values"),
    [
        pytest.param("***** Running Evaluation *****", EventKind.EVALUATION_START, {}, id="hf"),
        pytest.param(
            "{'eval_loss': 2.5, 'eval_runtime': 11.2, 'epoch': 1.0}",
            EventKind.EVALUATION_END,
            {"evaluation_loss": 2.5, "duration_seconds": 11.2},
            id="hf-end",
        ),
        pytest.param(
            "validate step: 10  loss:  7.5  memory:  9.46GiB",
            EventKind.EVALUATION_END,
            {"step": 10, "evaluation_loss": 7.5},
            id="torchtitan",
        ),
        pytest.param(
            " validation loss at iteration 7000 | lm loss value: 7.174200E+00 | lm loss PPL: 1.3E+03 |",
            EventKind.EVALUATION_END,
            {"step": 7000, "evaluation_loss": 7.1742},
            id="megatron",
        ),
        pytest.param(
            "step 3000: train loss 4.0390, val loss 4.0427",
            EventKind.EVALUATION_END,
            {"step": 3000, "evaluation_loss": 4.0427},
            id="nanogpt",
        ),
        pytest.param(
            "step:120/2160 val_loss:4.8811 train_time:4189ms",
            EventKind.EVALUATION_END,
            {"step": 120, "evaluation_loss": 4.8811},
            id="modded-nanogpt",
        ),
        pytest.param("***** Running training *****", EventKind.TRAINING_START, {}, id="hf-start"),
        pytest.param(
            "[titan] 2026-05-18 16:04:46,338 - root - INFO - Training starts at step 1.",
            EventKind.TRAINING_START,
            {"step": 1},
            id="torchtitan-start",
        ),
        pytest.param(
            "[before the start of training step] datetime: 2025-04-13 23:41:12",
            EventKind.TRAINING_START,
            {},
            id="megatron-start",
        ),
        pytest.param(
            "{'train_runtime': 31289.5, 'train_loss': 0.0, 'epoch': 1.5}",
            EventKind.TRAINING_END,
            {"duration_seconds": 31289.5},
            id="hf-runtime",
        ),
        pytest.param(
            "Training completed. Do not forget to share your model on huggingface.co/models =)",
            EventKind.TRAINING_END,
            {},
            id="hf-done",
        ),
        pytest.param(
            "[titan] 2026-05-18 16:04:46,338 - root - INFO - Training completed",
            EventKind.TRAINING_END,
            {},
            id="torchtitan-done",
        ),
        pytest.param("exiting program at iteration 1000", EventKind.TRAINING_END, {"step": 1000}, id="megatron-exit"),
    ],
)
def test_evaluations_and_the_training_itself_begin_and_end(line: str, kind: EventKind, values: dict):
    assert [(event.kind, event.values) for event in parse(line)] == [(kind, values)]


OLD_TIMEOUT = (
    "[E ProcessGroupNCCL.cpp:828] [Rank 1] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=15173, "
    "OpType=ALLREDUCE, Timeout(ms)=1800000) ran for 1802710 milliseconds before timing out."
)
NEW_TIMEOUT = (
    "[rank1]:[E1122 03:11:40.105032424 ProcessGroupNCCL.cpp:607] [PG ID 0 PG GUID 0(default_pg) Rank 1] Watchdog "
    "caught collective operation timeout: WorkNCCL(SeqNum=1580, OpType=_ALLGATHER_BASE, NumelIn=466, NumelOut=932, "
    "Timeout(ms)=600000) ran for 600060 milliseconds before timing out."
)


def test_a_collective_timeout_of_the_old_form_names_rank_sequence_operation_and_duration():
    [event] = parse(OLD_TIMEOUT)

    assert event.kind is EventKind.COLLECTIVE_TIMEOUT
    assert event.values == pytest.approx(
        {"rank": 1, "sequence_number": 15173, "ran_for_seconds": 1802.71, "timeout_seconds": 1800}
    )
    assert event.attributes == {"rank": "1", "operation": "ALLREDUCE", "detail": "watchdog"}


def test_a_collective_timeout_of_the_new_form_names_its_process_group_and_sizes_too():
    [event] = parse(NEW_TIMEOUT)

    assert event.values["sequence_number"] == 1580
    assert (event.values["input_elements"], event.values["output_elements"]) == (466, 932)
    assert event.attributes["operation"] == "_ALLGATHER_BASE"
    assert event.attributes["process_group"] == "0(default_pg)"
    assert event.time_ns == 1_795_317_100_105_032_424


def test_one_timeout_that_is_printed_again_as_the_thread_dies_is_told_once():
    again = "[PG ID 0 PG GUID 0(default_pg) Rank 1] Process group watchdog thread terminated with exception: "

    events = parse(NEW_TIMEOUT, again + NEW_TIMEOUT, f"  what():  {again}{NEW_TIMEOUT}")

    assert [event.kind for event in events] == [EventKind.COLLECTIVE_TIMEOUT]


def test_every_rank_and_every_collective_has_its_own_timeout():
    events = parse(NEW_TIMEOUT, NEW_TIMEOUT.replace("Rank 1", "Rank 2"), NEW_TIMEOUT.replace("1580", "1581"))

    assert [(event.attributes["rank"], event.values["sequence_number"]) for event in events] == [
        ("1", 1580),
        ("2", 1580),
        ("1", 1581),
    ]


@pytest.mark.parametrize(
    ("line", "values"),
    [
        pytest.param(
            "[PG 1 Rank 0] Heartbeat monitor timed out! Process will be terminated after dumping debug info.",
            {"rank": 0},
            id="heartbeat",
        ),
        pytest.param(
            "[PG 1 Rank 0] ProcessGroupNCCL's watchdog got stuck for 600 seconds without making progress",
            {"rank": 0, "ran_for_seconds": 600},
            id="stuck",
        ),
    ],
)
def test_a_dead_watchdog_is_a_collective_timeout(line: str, values: dict):
    [event] = parse(line)

    assert event.kind is EventKind.COLLECTIVE_TIMEOUT
    assert event.values == values
    assert event.attributes["detail"] == "heartbeat monitor"


@pytest.mark.parametrize(
    ("log", "ranks"), [("h200-ddp/rank0.stderr.log", [0]), ("h200-ddp4/ranks.stderr.log", [0, 1, 2])]
)
def test_real_watchdog_output_gives_one_timeout_for_each_surviving_rank(log: str, ranks: list[int]):
    lines = (RECORDINGS / log).read_text().splitlines()

    events = parse(*lines)

    assert [(event.kind, event.values["rank"]) for event in events] == [
        (EventKind.COLLECTIVE_TIMEOUT, rank) for rank in ranks
    ]


TRACEBACK = (
    "Traceback (most recent call last):",
    '  File "/app/train.py", line 10, in <module>',
    "    main()",
)


def test_a_traceback_is_told_by_its_final_line():
    assert told(*TRACEBACK, "ValueError: loss is not a number", "ValueError: not part of it") == [
        (EventKind.TRACEBACK, {}, {"exception": "ValueError", "detail": "ValueError: loss is not a number"})
    ]


def test_tracebacks_of_ranks_that_write_at_once_are_followed_apart():
    name = "torch.distributed.DistBackendError"
    lines = [f"[rank{rank}]: {text}" for text in (*TRACEBACK, f"{name}: NCCL error") for rank in (1, 0, 2)]

    events = parse(*lines)

    assert [event.attributes for event in events] == [
        {"exception": name, "detail": f"{name}: NCCL error", "rank": str(rank)} for rank in (1, 0, 2)
    ]


def test_tracebacks_interleaved_without_prefixes_are_all_found():
    lines = [text for line in (*TRACEBACK, "KeyError: 'x'") for text in (line, line)]

    assert [event.attributes["exception"] for event in parse(*lines)] == ["KeyError", "KeyError"]


def test_a_step_in_the_middle_of_a_traceback_does_not_end_it():
    lines = [*TRACEBACK, "iter 5: loss 3.5, time 10.00ms, mfu 1%", "Epoch: 5", "RuntimeError: boom"]

    assert [event.kind for event in parse(*lines)] == [EventKind.TRAINING_STEP, EventKind.TRACEBACK]


def test_chained_tracebacks_are_both_told_and_the_consequence_is_marked():
    chain = "During handling of the above exception, another exception occurred:"

    events = parse(*TRACEBACK, "OSError: [Errno 5] I/O error", "", chain, "", *TRACEBACK, "RuntimeError: no data")

    assert [event.attributes.get("chained") for event in events] == [None, "true"]
    assert [event.attributes["exception"] for event in events] == ["OSError", "RuntimeError"]


@pytest.mark.parametrize("final", ["KeyboardInterrupt", "SystemExit: 1", "queue.Empty", "zmq.error.Again: later"])
def test_exceptions_whose_names_do_not_end_in_error_are_found(final: str):
    [event] = parse(*TRACEBACK, final)

    assert event.attributes["exception"] == final.split(":")[0]


def test_an_error_line_without_a_traceback_is_no_traceback():
    assert parse("ValueError: this is how we do it") == []


@pytest.mark.parametrize(
    "advice",
    [
        "CUDA kernel errors might be asynchronously reported at some other API call. CUDA error",
        "For debugging consider passing CUDA_LAUNCH_BLOCKING=1 for CUDA error",
        "Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions. CUDA error",
    ],
)
def test_advice_is_never_a_sign_of_a_fault(advice: str):
    assert parse(advice) == []


@pytest.mark.parametrize(
    ("line", "attributes", "values"),
    [
        pytest.param(
            "RuntimeError: CUDA error: an illegal memory access was encountered",
            {"detail": "an illegal memory access was encountered"},
            {},
            id="error",
        ),
        pytest.param("CUDA error: out of memory", {"detail": "out of memory"}, {}, id="runtimes-out-of-memory"),
        pytest.param(
            "transform: failed to synchronize: cudaErrorECCUncorrectable: uncorrectable ECC error encountered",
            {"detail": "uncorrectable ECC error encountered", "name": "cudaErrorECCUncorrectable"},
            {},
            id="named",
        ),
        pytest.param(
            "include/alloc.h:125 NCCL WARN Cuda failure 700 'an illegal memory access was encountered'",
            {"detail": "an illegal memory access was encountered"},
            {"code": 700},
            id="nccl",
        ),
    ],
)
def test_a_cuda_error_says_which(line: str, attributes: dict, values: dict):
    assert told(line) == [(EventKind.CUDA_ERROR, values, attributes)]


GIB, MIB = 2**30, 2**20


@pytest.mark.parametrize(
    ("line", "values", "gpu"),
    [
        pytest.param(
            "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB. GPU 3 has a total capacity of "
            "79.25 GiB of which 15.50 MiB is free. Process 7 has 79.0 GiB memory in use.",
            {"asked_bytes": 20 * MIB, "free_bytes": 15.5 * MIB, "total_bytes": 79.25 * GIB},
            "3",
            id="new",
        ),
        pytest.param(
            "RuntimeError: CUDA out of memory. Tried to allocate 2.00 GiB (GPU 0; 79.25 GiB total capacity; 77.2 GiB "
            "already allocated; 1.50 GiB free; 78.0 GiB reserved in total by PyTorch)",
            {"asked_bytes": 2 * GIB, "free_bytes": 1.5 * GIB, "total_bytes": 79.25 * GIB},
            "0",
            id="old",
        ),
        pytest.param("CUDA out of memory.", {}, None, id="bare"),
    ],
)
def test_cuda_out_of_memory_says_how_much_was_asked_and_free(line: str, values: dict, gpu: str | None):
    [event] = parse(line)

    assert event.kind is EventKind.CUDA_OUT_OF_MEMORY
    assert event.values == values
    assert event.attributes.get("gpu") == gpu


def test_an_exception_that_names_a_cuda_error_is_both():
    events = parse(*TRACEBACK, "RuntimeError: CUDA error: unspecified launch failure")

    assert {event.kind for event in events} == {EventKind.TRACEBACK, EventKind.CUDA_ERROR}


def test_torchelastic_tells_an_exit_at_once_and_again_with_its_rank():
    events = parse(
        "E0325 20:57:27.620000 2606 site-packages/torch/distributed/elastic/multiprocessing/api.py:869] failed "
        "(exitcode: -9) local_rank: 5 (pid: 2630) of binary: /usr/bin/python",
        "Root Cause (first observed failure):",
        "[0]:",
        "  time      : 2025-05-21_15:43:03",
        "  host      : node-7",
        "  rank      : 13 (local_rank: 5)",
        "  exitcode  : -9 (pid: 2630)",
        "  error_file: <N/A>",
        "  traceback : Signal 9 (SIGKILL) received by PID 2630",
    )

    assert [(event.kind, event.values, event.attributes) for event in events] == [
        (
            EventKind.PROCESS_EXIT,
            {"exit_code": -9, "signal": 9},
            {"detail": "killed by signal SIGKILL", "signal": "SIGKILL", "pid": "2630", "local_rank": "5"},
        ),
        (
            EventKind.PROCESS_EXIT,
            {"exit_code": -9, "signal": 9},
            {
                "detail": "killed by signal SIGKILL",
                "signal": "SIGKILL",
                "pid": "2630",
                "local_rank": "5",
                "host": "node-7",
                "rank": "13",
            },
        ),
    ]


@pytest.mark.parametrize(
    ("line", "values", "attributes"),
    [
        pytest.param(
            "srun: error: node12: task 5: Killed",
            {"exit_code": -9, "signal": 9},
            {"detail": "killed by signal SIGKILL", "signal": "SIGKILL", "host": "node12", "rank": "5"},
            id="srun-killed",
        ),
        pytest.param(
            "srun: error: node12: task 5: Exited with exit code 1",
            {"exit_code": 1},
            {"detail": "exit code 1", "host": "node12", "rank": "5"},
            id="srun-code",
        ),
        pytest.param(
            "[ERROR] [launch.py:325:sigkill_handler] ['python'] exits with return code = -11",
            {"exit_code": -11, "signal": 11},
            {"detail": "killed by signal SIGSEGV", "signal": "SIGSEGV"},
            id="deepspeed",
        ),
    ],
)
def test_other_launchers_exits_are_told(line: str, values: dict, attributes: dict):
    assert told(line) == [(EventKind.PROCESS_EXIT, values, attributes)]


def test_what_the_launcher_closes_itself_afterwards_is_no_exit():
    assert parse("W0325 20:57:27.620000 2606 api.py:766] Closing process 293866 via signal SIGTERM") == []


@pytest.mark.parametrize(
    ("line", "attributes"),
    [
        pytest.param(
            "RuntimeError: DataLoader worker (pid 29001) is killed by signal: Killed.",
            {"pid": "29001", "detail": "killed by signal: Killed", "signal": "Killed"},
            id="killed",
        ),
        pytest.param(
            "RuntimeError: DataLoader worker (pid(s) 123, 456) exited unexpectedly",
            {"pid": "123, 456", "detail": "exited unexpectedly"},
            id="exited",
        ),
        pytest.param(
            "RuntimeError: Caught OSError in DataLoader worker process 3.",
            {"exception": "OSError", "worker": "3", "detail": "exception in worker"},
            id="exception",
        ),
    ],
)
def test_a_dead_data_loader_worker_is_told(line: str, attributes: dict):
    assert told(line) == [(EventKind.DATALOADER_ERROR, {}, attributes)]


def test_memory_of_open_tracebacks_is_bounded():
    parser = TrainingLogParser(JOB)
    for rank in range(9000):
        parser.parse(f"[rank{rank}]: Traceback (most recent call last):".encode(), 0)

    [event] = parser.parse(b"[rank8999]: RuntimeError: x", 0)

    assert event.attributes["rank"] == "8999"
