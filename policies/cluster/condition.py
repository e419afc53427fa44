"""`condition`: a node condition of Watchstander's own and a Kubernetes Event, for people and controllers that look.

Arguments: `type` (Watchstander...), `reason` (one CamelCase word), `message`. A type that ends with Healthy or Ready is
set to False, any other, WatchstanderFault say, to True. The message ends with the plan's id, so that whose condition it
is can be read back.
"""

from datetime import UTC, datetime

from collectors.errors import GiveUp
from policies.cluster.client import STRATEGIC_PATCH, Conflicted, Json, path_of
from policies.cluster.look import Look, anew_on_conflict, done, failed, skipped
from policies.cluster.marks import object_name, preconditions
from policies.cluster.targets import gone, node_of, node_path
from policies.journal import Progress

DEFAULT_TYPE = "WatchstanderFault"
HEALTHY = ("Healthy", "Ready")
"""Types with such an end name what is well."""
OWN_TYPE = "Watchstander"
"""Every type of ours begins so: the kubelet's and other detectors' conditions are never touched."""
EVENT_NAMESPACE = "default"
"""Where events about nodes live."""
LONGEST_MESSAGE = 1024
"""Of an event's note, by the API."""


def advance(look: Look) -> Progress:
    """Set the condition, unless it is so; then the event, whose name makes a second one the same."""
    return anew_on_conflict(lambda: _set(look))


def verify(look: Look) -> Progress:
    """Whether the condition still stands."""
    node = node_of(look)
    if node is None:
        return skipped(gone(look))
    kind = type_of(look)
    status, found = at_fault(kind), condition_of(node, kind)
    if found.get("status") != status:
        return failed(f"{look.step.target}: condition {kind} is {found.get('status', 'gone')} by somebody else")
    return done(f"{look.step.target} has condition {kind}={status}")


def type_of(look: Look) -> str:
    """The step's `type`. GiveUp where it is not one of our own."""
    kind = look.text("type", DEFAULT_TYPE)
    if not kind.startswith(OWN_TYPE) or not kind.isalnum():
        raise GiveUp(f"{look.plan.id} step {look.index}: condition type {kind!r} must begin with {OWN_TYPE}")
    return kind


def at_fault(kind: str) -> str:
    """The status of a condition of this type that tells of a fault."""
    return "False" if kind.endswith(HEALTHY) else "True"


def condition_of(node: Json, kind: str) -> Json:
    """The node's condition of this type; empty where it has none."""
    conditions = node.get("status", {}).get("conditions") or ()
    return next((one for one in conditions if one.get("type") == kind), {})


def signed(message: str, plan_id: str) -> str:
    """A message with the plan's id at its end, cut to what an event may hold."""
    signature = f" [{plan_id}]"
    return message[: LONGEST_MESSAGE - len(signature)].strip() + signature


def set_condition(look: Look, node: Json, status: str, reason: str, message: str) -> None:
    """Patch the status subresource; other conditions stay as they are."""
    kind, now = type_of(look), timestamp(look.now_ns)
    before = condition_of(node, kind)
    since = before.get("lastTransitionTime", now) if before.get("status") == status else now
    condition = {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastHeartbeatTime": now,
        "lastTransitionTime": since,
    }
    body = {"metadata": preconditions(node), "status": {"conditions": [condition]}}
    look.client.patch(node_path(look, "status"), body, how=STRATEGIC_PATCH)


def tell(look: Look, node: Json, kind: str, reason: str, message: str) -> bool:
    """The event, `kind` Normal or Warning; False where it was told before."""
    name = object_name(look.plan, look.index)
    event = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": EVENT_NAMESPACE},
        "eventTime": timestamp(look.now_ns, "microseconds"),
        "regarding": {
            "apiVersion": "v1",
            "kind": "Node",
            "name": node["metadata"]["name"],
            "uid": look.step.target.uid,
        },
        "reason": reason,
        "action": type_of(look),
        "note": message,
        "type": kind,
        "reportingController": "watchstander.io/agent",
        "reportingInstance": look.plan.id,
    }
    try:
        look.client.post(path_of("events.k8s.io/v1", "events", EVENT_NAMESPACE), event)
    except Conflicted:
        return False
    return True


def timestamp(time_ns: int, precision: str = "seconds") -> str:
    """RFC 3339, as the API wants it."""
    moment = datetime.fromtimestamp(time_ns // 1000 / 1e6, UTC)
    return moment.isoformat(timespec=precision).replace("+00:00", "Z")


def _set(look: Look) -> Progress:
    target, kind = look.step.target, type_of(look)
    status, node = at_fault(kind), node_of(look)
    if node is None:
        return skipped(gone(look))
    reason = look.text("reason", "GPUFault")
    message = signed(look.text("message", look.step.words), look.plan.id)
    before = condition_of(node, kind)
    changed = (before.get("status"), before.get("message")) != (status, message)
    if changed:
        set_condition(look, node, status, reason, message)
    told = tell(look, node, "Warning", reason, message)
    return done(f"{target}: condition {kind}={status}, and an event", changed=changed or told)
