"""`clear_condition`: our own condition says healthy again, with an event. Arguments: those of `condition`."""

from policies.cluster.condition import at_fault, condition_of, set_condition, signed, tell, type_of
from policies.cluster.look import Look, anew_on_conflict, done, failed, skipped
from policies.cluster.targets import gone, node_of
from policies.journal import Progress

CLEARED = "Cleared"


def advance(look: Look) -> Progress:
    """Clear it, unless there is none, or another plan has set it since."""
    return anew_on_conflict(lambda: _clear(look))


def verify(look: Look) -> Progress:
    """Whether it is still clear."""
    node = node_of(look)
    if node is None:
        return skipped(gone(look))
    kind = type_of(look)
    status = condition_of(node, kind).get("status", "gone")
    if status == at_fault(kind):
        return failed(f"{look.step.target}: condition {kind}={status} was set again since; left so")
    return done(f"{look.step.target}: condition {kind} is {status}")


def _clear(look: Look) -> Progress:
    target, kind, of_plan = look.step.target, type_of(look), look.plan.undoes
    node = node_of(look)
    if node is None:
        return skipped(gone(look))
    before = condition_of(node, kind)
    if not before:
        return skipped(f"{target} has no condition {kind}")
    healthy = "True" if at_fault(kind) == "False" else "False"
    message = signed(f"cleared: {look.step.words or 'the fault is over'}", look.plan.id)
    is_clear = (before.get("status"), before.get("message")) == (healthy, message)
    if not is_clear:
        if of_plan and not str(before.get("message", "")).endswith(f"[{of_plan}]"):
            return skipped(f"{target}: condition {kind} was set for another plan since; left as it is")
        set_condition(look, node, healthy, CLEARED, message)
    told = tell(look, node, "Normal", CLEARED, message)
    return done(f"{target}: condition {kind}={healthy}, and an event", changed=told or not is_clear)
