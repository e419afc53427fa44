"""The loss: spikes, divergence, NaN. A policy never touches a node for these."""

from agent.advisor.explain.case import Case, Words, sure
from agent.advisor.explain.model import Cause
from detectors.model import FindingKind

NOT_A_NODE = "Not a reason to take a node out: the same code on the same data diverges anywhere."


def loss_divergence(case: Case) -> Words:
    """The loss rises and stays up."""
    warned = case.has(FindingKind.GRAD_NORM_SPIKE, FindingKind.LOSS_SPIKE)
    first = " Gradients or loss had spiked before it." if warned else ""
    return Words(
        (
            Cause(f"Optimisation has left its path: {case.shown()}.{first}", sure(case.root), case.refs()),
            Cause("A learning rate too high for this phase, or a change of data or schedule just before.", "likely"),
            Cause("A run of bad batches: data and state together.", "possible"),
            Cause("Silent corruption on one rank: then it does not repeat elsewhere.", "unlikely"),
            Cause(NOT_A_NODE, "unlikely"),
        ),
        (
            "what changed in data, learning rate or code within the last hundred steps",
            "whether the same steps diverge again from the last checkpoint, on other nodes",
        ),
        (
            "stop before more steps are spent, unless it comes back within some fifty",
            "go back about 100 steps, skip 200 to 500 batches, or lower the learning rate",
        ),
    )


def loss_spike(case: Case) -> Words:
    """The loss jumped once."""
    return Words(
        (
            Cause(
                f"A batch that the model finds hard, at a state that takes it badly: {case.shown()}.",
                "likely",
                case.refs(),
            ),
            Cause("The beginning of a divergence.", "possible"),
            Cause("A resume: the loss often rises for some steps after one.", "possible"),
        ),
        ("whether the loss is back within 30 to 50 steps", "the gradient norm and the loss scale at the same steps"),
        ("watch; most spikes pass without help",),
    )


def loss_nan(case: Case) -> Words:
    """The loss is not a number."""
    warned = case.has(FindingKind.GRAD_NORM_SPIKE, FindingKind.LOSS_DIVERGENCE, FindingKind.LOSS_SPIKE)
    return Words(
        (
            Cause(
                f"The job computes with NaN; every further step is lost: {case.shown()}.", sure(case.root), case.refs()
            ),
            Cause(
                "Overflow: loss or gradients grew before it."
                if warned
                else "Overflow in low precision, or a bad operation (log of 0, 0/0).",
                "likely",
                case.refs_of(FindingKind.GRAD_NORM_SPIKE, FindingKind.LOSS_DIVERGENCE, FindingKind.LOSS_SPIKE),
            ),
            Cause("A broken sample, or a change of data within the last hundred steps.", "possible"),
            Cause("Silent corruption on one card: then the step repeats soundly elsewhere.", "unlikely"),
            Cause(
                "Not the loss scaler skipping a step: that is a single line with a finite loss.",
                "ruled out",
                case.refs(),
            ),
        ),
        (
            "replay the step on another node: NaN again means code or data, a number means the card",
            "which rank saw NaN first, and the batch it had",
        ),
        (
            "stop the job: its weights are NaN, and checkpoints from now on are worthless",
            "go back to the last good checkpoint and skip the batch",
        ),
    )


def grad_norm_spike(case: Case) -> Words:
    """The gradient norm jumped."""
    return Words(
        (
            Cause(
                f"Gradients jumped: {case.shown()}. A loss spike often follows some steps later.",
                sure(case.root),
                case.refs(),
            ),
            Cause("A hard or broken batch.", "likely"),
            Cause("The beginning of a divergence.", "possible"),
            Cause("Silent corruption on one rank.", "unlikely"),
        ),
        ("the loss over the next 50 steps", "whether clipping is on, and at what norm"),
        ("watch; clip gradients if it recurs",),
    )


KINDS = {
    FindingKind.LOSS_DIVERGENCE: loss_divergence,
    FindingKind.LOSS_SPIKE: loss_spike,
    FindingKind.LOSS_NAN: loss_nan,
    FindingKind.GRAD_NORM_SPIKE: grad_norm_spike,
}
