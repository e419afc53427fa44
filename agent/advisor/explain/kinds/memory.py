"""GPU memory: leaking, let go, nearly full, full."""

from agent.advisor.explain.case import Case, Words, sure
from agent.advisor.explain.model import Cause
from detectors.model import FindingKind


def gpu_memory_leak(case: Case) -> Words:
    """Memory rises and rises."""
    return Words(
        (
            Cause(f"The program keeps tensors it no longer needs: {case.shown()}.", sure(case.root), case.refs()),
            Cause("Tensors with their graph kept in a list (losses, outputs), a cache without a limit.", "likely"),
            Cause("Longer inputs from step to step: growth that will level off.", "possible"),
            Cause("Not warm-up: allocators step up a few times and stop.", "unlikely", case.refs()),
            Cause("Not the card: memory does not leak in hardware.", "ruled out"),
        ),
        (
            "`torch.cuda.memory_snapshot()` twice, some steps apart: what has grown",
            "whether it grows with steps (a list) or with the length of inputs",
        ),
        ("save a checkpoint before the card is full", "detach what is kept for logging (`loss.item()`, `.detach()`)"),
    )


def gpu_memory_drop(case: Case) -> Words:
    """Memory was let go while the job goes on."""
    return Words(
        (
            Cause(f"The process let memory go and works on: {case.shown()}.", sure(case.root), case.refs()),
            Cause(
                "The program emptied its cache, freed a model or an optimizer state, or changed its batch.", "likely"
            ),
            Cause("A second process on the card has ended.", "possible"),
            Cause("Not an end of the job: its process is there and works at the next look.", "ruled out", case.refs()),
        ),
        ("what the log says at that step", "the processes on the card before and after"),
        ("nothing, if the loss goes on as before", "if the loss jumped at the same step, suspect lost state: go back"),
    )


def gpu_memory_pressure(case: Case) -> Words:
    """Nearly full."""
    return Words(
        (
            Cause(f"The job needs nearly all of the card: {case.shown()}.", sure(case.root), case.refs()),
            Cause("A batch or a sequence longer than the others; a fragmented allocator.", "possible"),
            Cause("A slow leak that has not been told apart yet.", "possible"),
        ),
        ("whether memory is level or still rising", "the allocator's reserved against its allocated memory"),
        ("leave some room: a smaller batch, activation checkpointing, or expandable segments",),
    )


def gpu_out_of_memory(case: Case) -> Words:
    """An allocation failed."""
    return Words(
        (
            Cause(f"An allocation on the card failed: {case.shown()}.", sure(case.root), case.refs()),
            Cause("The job needs more memory than the card has at this step.", "likely", case.refs()),
            Cause("Another process holds memory on the same card.", "possible"),
            Cause(
                "The card: after a memory error allocations fail although memory is free. None was seen before this.",
                "unlikely",
            ),
        ),
        (
            "memory in use just before: nearly full means the job, much free means the card or another process",
            "whether it recurs at the same step after a restart",
        ),
        ("a smaller batch, activation checkpointing or sharding; do not drain the node for it",),
    )


KINDS = {
    FindingKind.GPU_MEMORY_LEAK: gpu_memory_leak,
    FindingKind.GPU_MEMORY_DROP: gpu_memory_drop,
    FindingKind.GPU_MEMORY_PRESSURE: gpu_memory_pressure,
    FindingKind.GPU_OUT_OF_MEMORY: gpu_out_of_memory,
}
