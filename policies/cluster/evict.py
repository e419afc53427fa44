"""`evict`: a drain by the Eviction API, which asks the PodDisruptionBudgets. Nothing is ever deleted by force.

Arguments: `pods` (uids, by comma: exactly these), or without it `only` (`all`, or `gpus`: pods that ask for GPUs) and
`bare` (`evict`: pods without a controller too, which nobody makes anew); `deadline_seconds`, `grace_seconds` (empty:
each pod's own).

Memo: `began`, and for the last sentence `pods` and `names`, since evicted pods cannot be asked any more.
"""

from dataclasses import dataclass, field

from collectors.errors import GiveUp
from policies.cluster import pods as pods_
from policies.cluster.client import Conflicted, Json, NotThere, Rejected, TooManyRequests, path_of
from policies.cluster.cordon import is_cordoned
from policies.cluster.look import Look, done, failed, remember, running, skipped
from policies.cluster.targets import gone, node_of
from policies.journal import Progress

AGAIN_SECONDS = 2.0
BUDGET_SECONDS = 10.0
"""Where a budget says no without a Retry-After: the disruption controller looks anew after as long."""
ONLY = ("all", "gpus")


@dataclass
class _Found:
    """The pods of the node, by what is to be done with them."""

    to_evict: list[Json] = field(default_factory=list)
    ending: list[Json] = field(default_factory=list)
    left: dict[str, list[Json]] = field(default_factory=dict)
    """By reason."""

    @property
    def remaining(self) -> list[Json]:
        return [*self.to_evict, *self.ending]

    def left_in_words(self) -> str:
        told = [f"{len(pods)} {why} ({pods_.names(pods)})" for why, pods in sorted(self.left.items())]
        return f"; left: {', '.join(told)}" if told else ""


@dataclass
class _Blocked:
    """What stood in the way at this look."""

    budgets: dict[str, list[str]] = field(default_factory=dict)
    """A budget's own words -> pods."""
    again_seconds: float = 0.0
    refusals: list[str] = field(default_factory=list)
    """Admission's noes."""

    def in_words(self) -> str:
        return "; ".join(f"{words}: {', '.join(names)}" for words, names in sorted(self.budgets.items()))


def advance(look: Look) -> Progress:
    """Evict a few more, until none is left that should go."""
    node = node_of(look)
    if node is None:
        return skipped(f"{gone(look)}, and its pods with it")
    found = _look_over(look)
    if not is_cordoned(node):
        # Evicted from an open node, a pod may come back to it, and get the same card.
        return failed(
            f"{look.step.target} is not cordoned: evicted pods could come back to it; nothing more is evicted"
        )
    if "began" not in look.memo:
        if not found.remaining:
            return skipped(f"{look.step.target} has no pod to evict{found.left_in_words()}")
        memo = {"began": str(look.now_ns), "pods": str(len(found.remaining)), "names": pods_.names(found.remaining)}
        return remember(memo, f"{look.step.target}: {len(found.remaining)} pods to evict{found.left_in_words()}")
    if not found.remaining:
        return done(
            f"{look.step.target}: {look.memo.get('pods', '?')} pods are gone ({look.memo.get('names', '')})"
            f"{found.left_in_words()}"
        )
    return _evict_some(look, found)


def verify(look: Look) -> Progress:
    """Whether the node is still free of such pods."""
    if node_of(look) is None:
        return skipped(gone(look))
    found = _look_over(look)
    if found.remaining:
        return failed(f"{look.step.target} has pods again: {pods_.names(found.remaining)}")
    return done(f"{look.step.target} has no such pods")


def _look_over(look: Look) -> _Found:
    only = look.text("only", ONLY[0])
    if only not in ONLY:
        raise GiveUp(f"{look.plan.id} step {look.index}: only={only!r} must be one of {', '.join(ONLY)}")
    uids = set(filter(None, look.text("pods").split(",")))
    gpus, found = look.settings.gpu_resources, _Found()
    for pod in pods_.pods_on(look.client, look.step.target.name):
        if (uids and pods_.uid(pod) not in uids) or (only == "gpus" and not pods_.holds_gpus(pod, gpus)):
            continue
        if pods_.is_over(pod) and pods_.is_ending(pod):
            continue  # its containers have ended, and the object is about to go
        why = pods_.left_because(pod)
        if not why and not uids and not pods_.controller(pod) and look.text("bare") != "evict":
            why = "without a controller"
        if why:
            found.left.setdefault(why, []).append(pod)
        elif pods_.is_ending(pod):
            found.ending.append(pod)
        else:
            found.to_evict.append(pod)
    return found


def _evict_some(look: Look, found: _Found) -> Progress:
    at_once = max(1, look.settings.evict_at_once)
    blocked, evicted = _Blocked(), 0
    for pod in found.to_evict:
        if len(found.ending) + evicted >= at_once:
            break
        evicted += _evict(look, pod, blocked)
    changed = evicted > 0
    if blocked.refusals:
        return failed(f"{look.step.target}: eviction refused for good: {'; '.join(blocked.refusals)}", changed=changed)
    margin = look.seconds("end_margin_seconds", look.settings.end_margin_seconds)
    stuck = [pod for pod in found.ending if pods_.overdue_seconds(pod, look.client.server_ns) > margin]
    waited, deadline = look.since_began(), look.seconds("deadline_seconds", look.settings.drain_seconds)
    if stuck and len(stuck) == len(found.remaining):
        return failed(
            f"{look.step.target}: {len(stuck)} pods do not end, {margin:.0f} s after their grace period: "
            f"{pods_.names(stuck)}; never deleted by force, since their containers may still run"
        )
    if waited > deadline:
        reasons = [f"budgets allow none: {blocked.in_words()}"] if blocked.budgets else []
        reasons += [f"do not end: {pods_.names(stuck)}"] if stuck else []
        why = f" ({'; '.join(reasons)})" if reasons else ""
        return failed(
            f"{look.step.target}: {len(found.remaining)} pods are still there after {waited:.0f} s: "
            f"{pods_.names(found.remaining)}{why}",
            changed=changed,
        )
    told = f"{look.step.target}: {len(found.to_evict) - evicted} to evict, {len(found.ending) + evicted} ending"
    told += f"; waits for budgets: {blocked.in_words()}" if blocked.budgets else ""
    only_budgets = blocked.budgets and not found.ending and not evicted
    again = max(AGAIN_SECONDS, blocked.again_seconds) if only_budgets else AGAIN_SECONDS
    return running(told, min(again, max(1.0, deadline - waited + 1.0)), changed=changed)


def _evict(look: Look, pod: Json, blocked: _Blocked) -> bool:
    """Whether it was told to end. A pod that changed or went meanwhile is looked at anew the next time."""
    metadata = pod["metadata"]
    # The uid alone: a resourceVersion that is old by a heartbeat would be refused only after the budget was charged.
    options: Json = {"preconditions": {"uid": pods_.uid(pod)}}
    if look.text("grace_seconds"):
        options["gracePeriodSeconds"] = int(look.seconds("grace_seconds", 0))
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": metadata["name"], "namespace": metadata["namespace"]},
        "deleteOptions": options,
    }
    try:
        look.client.post(path_of("v1", "pods", metadata["namespace"], metadata["name"], "eviction"), body)
    except (NotThere, Conflicted):
        return False
    except TooManyRequests as busy:
        if not busy.budget:
            raise
        blocked.budgets.setdefault(busy.budget, []).append(pods_.name(pod))
        blocked.again_seconds = max(blocked.again_seconds, busy.after_seconds or BUDGET_SECONDS)
        return False
    except Rejected as refused:
        blocked.refusals.append(f"{pods_.name(pod)}: {refused}")
        return False
    return True
