"""What simulated jobs and kernels print: the wordings of the recordings and of facts (training 3.1, gpu-faults).

All of it is read back by the collectors' own parsers; nothing of the simulator reaches a detector past them.
"""

from datetime import UTC, datetime
from typing import NamedTuple

FORMATS = ("torchtitan", "megatron", "hugging_face")


class StepLine(NamedTuple):
    """What a trainer knows at a step."""

    step: int
    loss: float
    grad_norm: float
    step_seconds: float
    """Between the last two steps, by the trainer's own clock."""
    data_seconds: float
    tokens: float
    """Tokens of one card and step."""


def stamp(time_ns: int) -> str:
    """RFC 3339, as a container runtime writes it."""
    at = datetime.fromtimestamp(time_ns // 10**9, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{time_ns % 10**9 // 1000:06d}Z"


def step_line(form: str, said: StepLine) -> str:
    """A step as the trainer prints it. Megatron and TorchTitan do not state the wait for data, Hugging Face may."""
    rate = min(1.0, said.step / 2000) * 3e-4
    if form == "megatron":
        return (
            f" iteration {said.step:8d}/ 1000000 | consumed samples: {said.step * 64:12d} | elapsed time per iteration"
            f" (ms): {said.step_seconds * 1e3:.1f} | throughput per GPU (TFLOP/s/GPU): "
            f"{said.tokens / said.step_seconds * 1.52e-3:.1f} | learning rate: {rate:.6E} | global batch size:    64 | "
            f"lm loss: {said.loss:.6E} | loss scale: 1.0 | grad norm: {said.grad_norm:.3f} | number of skipped "
            f"iterations:   0 | number of nan iterations:   {int(said.loss != said.loss)} |"
        )
    if form == "torchtitan":
        rate = said.tokens / max(said.step_seconds - said.data_seconds, 1e-3)
        return (
            f"[rank0]:step: {said.step:2d}  loss: {said.loss:7.4f}  grad_norm: {said.grad_norm:7.4f}  "
            f"memory: 61.84GiB(44.05%)  tps: {rate:,.0f}  tflops: {rate * 1.52e-3:.2f}  mfu: {rate * 1.54e-4:.2f}%"
        )
    return (
        f"{{'loss': {_plain(said.loss, 4)}, 'grad_norm': {_plain(said.grad_norm, 6)}, 'learning_rate': {rate!r}, "
        f"'epoch': {said.step * 8e-4:.4f}, 'step': {said.step}, 'data_time': {said.data_seconds:.4f}, "
        f"'step_time': {said.step_seconds:.4f}}}"
    )


def _plain(value: float, digits: int) -> str:
    return "nan" if value != value else f"{value:.{digits}f}"


START = "***** Running training *****"
RESTORE = "Loading checkpoint from /ckpt/checkpoint-{step} (resuming training)"
EVALUATE = "***** Running Evaluation *****"


def save_begins(form: str, step: int) -> str:
    """The line before a checkpoint save."""
    if form == "megatron":
        return f"saving checkpoint at iteration {step:7d} to /ckpt in torch_dist format"
    return f"Saving model checkpoint to /ckpt/checkpoint-{step}"


def save_ends(form: str, step: int, seconds: float) -> str:
    """The line after it."""
    if form == "megatron":
        return f"  successfully saved checkpoint from iteration {step:7d} to /ckpt [ t 1/1, p 1/1 ]"
    return f"Checkpoint saved in {seconds:.2f}s"


def evaluation_ends(form: str, step: int, loss: float) -> str:
    """The result of an evaluation."""
    if form == "megatron":
        return (
            f" validation loss at iteration {step} | lm loss value: {loss:.6E} | lm loss PPL: {2.718281828**loss:.6E} |"
        )
    if form == "torchtitan":
        return f"[rank0]:validate step: {step:2d}  loss: {loss:7.4f}"
    return f"{{'eval_loss': {loss:.4f}, 'eval_runtime': 11.2, 'epoch': {step * 8e-4:.4f}}}"


ENDED = {
    "megatron": "[after training is done] datetime: 2026-11-23 08:00:00",
    "torchtitan": "[rank0]:[titan] 2026-11-23 08:00:00,000 - root - INFO - Training completed",
    "hugging_face": "{'train_runtime': 3600.0, 'train_samples_per_second': 64.0, 'epoch': 1.0}",
}


def watchdog(rank: int, sequence: int, timeout_seconds: float, time_ns: int) -> str:
    """NCCL's watchdog gives up."""
    at = datetime.fromtimestamp(time_ns // 10**9, UTC)
    ran = int(timeout_seconds * 1000)
    return (
        f"[rank{rank}]:[E{at:%m%d %H:%M:%S}.{time_ns % 10**9:09d} ProcessGroupNCCL.cpp:689] [Rank {rank}] "
        f"Watchdog caught collective operation timeout: WorkNCCL(SeqNum={sequence}, OpType=ALLREDUCE, "
        f"NumelIn=262144, NumelOut=262144, Timeout(ms)={ran}) ran for {ran + 53} milliseconds before timing out."
    )


def torchelastic(local_rank: int, code: int, pid: int, time_ns: int) -> str:
    """The launcher notices that a process has ended."""
    at = datetime.fromtimestamp(time_ns // 10**9, UTC)
    return (
        f"E{at:%m%d %H:%M:%S}.{time_ns % 10**9 // 1000:06d} 411 site-packages/torch/distributed/elastic/"
        f"multiprocessing/api.py:869] failed (exitcode: {code}) local_rank: {local_rank} (pid: {pid}) "
        "of binary: /usr/bin/python3"
    )


def traceback(rank: int, final: str) -> list[str]:
    """A Python traceback of one rank, each line under the launcher's prefix."""
    lines = [
        "Traceback (most recent call last):",
        '  File "/app/train.py", line 412, in <module>',
        "    main()",
        '  File "/app/train.py", line 287, in main',
        "    loss.backward()",
        final,
    ]
    return [f"[rank{rank}]:{line}" for line in lines]


ECC_ERROR = "RuntimeError: CUDA error: uncorrectable ECC error encountered"
ILLEGAL_ADDRESS = "RuntimeError: CUDA error: an illegal memory access was encountered"
LAUNCH_FAILURE = "RuntimeError: CUDA error: unspecified launch failure"
NO_DEVICE = "RuntimeError: CUDA error: CUDA-capable device(s) is/are busy or unavailable"
OUT_OF_MEMORY = (
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU {gpu} has a total capacity of "
    "139.80 GiB of which 381.19 MiB is free."
)
BUGS = (
    "ValueError: Expected input batch_size (64) to match target batch_size (63).",
    "KeyError: 'input_ids'",
    "FileNotFoundError: [Errno 2] No such file or directory: '/data/shard-00412.bin'",
    "RuntimeError: Trying to resize storage that is not resizable",
)

XIDS = {
    13: "pid={pid}, name=python3, Graphics SM Warp Exception on (GPC 2, TPC 4, SM 0): Out Of Range Address",
    31: "pid={pid}, name=python3, channel 0x0000000a, intr 00000000. MMU Fault: ENGINE GRAPHICS GPC0 GPCCLIENT_T1_8 "
    "faulted @ 0x7fff_12345000. Fault is of type FAULT_PDE ACCESS_TYPE_VIRT_WRITE",
    48: "pid={pid}, name=python3, An uncorrectable double bit error (DBE) has been detected on GPU in the framebuffer "
    "at partition 4, subpartition 1.",
    63: "pid={pid}, Row Remapper: New row marked for remapping, reset gpu to activate.",
    74: "pid={pid}, name=python3, NVLink: fatal error detected on link 9(0x10000, 0x0, 0x0, 0x0, 0x0, 0x0, 0x0)",
    79: "pid={pid}, name=python3, GPU has fallen off the bus.",
    94: "pid={pid}, name=python3, Contained ECC error.",
    119: "pid={pid}, name=python3, Timeout after 6s of waiting for RPC response from GPU GSP! Expected function 76 "
    "(GSP_RM_CONTROL) (0x20802002 0x8).",
}


def xid(code: int, pci_bus_id: str, pid: int) -> str:
    """The driver's line in the kernel log."""
    return f"NVRM: Xid (PCI:{pci_bus_id.split('.')[0]}): {code}, {XIDS[code].format(pid=pid)}"


def oom_kill(pid: int) -> str:
    """The kernel kills a process for memory."""
    return (
        f"Memory cgroup out of memory: Killed process {pid} (python3) total-vm:912345678kB, anon-rss:801234567kB, "
        "file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:1600000kB oom_score_adj:985"
    )
