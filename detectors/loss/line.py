"""One training step as its log line tells it."""

from math import isfinite

import msgspec

from collectors.model import Event


class Line(msgspec.Struct, frozen=True, gc=False):
    """What the loss detectors read of a `training_step` event; None is what the line does not say."""

    event: Event
    time_ns: int
    step: int | None
    loss: float | None
    """Finite, or None."""
    grad_norm: float | None
    """Finite and not negative, or None."""
    loss_scale: float | None
    """Finite and above 0, or None."""
    loss_broken: bool
    """The loss is NaN or infinite, or stands as 0.0 beside a gradient norm that is, or the trainer counted NaN
    steps."""
    grad_broken: bool
    """The gradient norm is NaN or infinite."""
    masked: bool
    """The loss reads exactly 0.0 beside a gradient norm that is NaN: the trainer hides the NaN."""

    @property
    def where(self) -> str:
        """The step, for a sentence."""
        return f"step {self.step}" if self.step is not None else "a step that the log does not number"


def read_line(event: Event) -> Line:
    """Read a `training_step` event; every float may be NaN, infinite, negative or huge."""
    values = event.values
    loss = values.get("loss")
    grad = values.get("grad_norm")
    scale = values.get("loss_scale")
    step = values.get("step")
    nan_steps = values.get("nan_steps", 0.0)
    grad_broken = grad is not None and not isfinite(grad)
    # Hugging Face's logging_nan_inf_filter prints 'loss': 0.0, 'grad_norm': nan
    masked = grad_broken and loss == 0.0
    loss_broken = masked or nan_steps > 0 or (loss is not None and not isfinite(loss))
    return Line(
        event=event,
        time_ns=event.time_ns,
        step=int(step) if step is not None and isfinite(step) else None,
        loss=None if loss_broken else loss,
        # a gradient norm below 0 is no norm: the field means something else
        grad_norm=None if grad is None or grad_broken or grad < 0 else grad,
        loss_scale=scale if scale is not None and isfinite(scale) and scale > 0 else None,
        loss_broken=loss_broken,
        # Megatron leaves NaN steps out of its averages: the gradients of those steps were broken too
        grad_broken=grad_broken or nan_steps > 0,
        masked=masked,
    )
