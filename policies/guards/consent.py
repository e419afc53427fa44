"""Who has said no beforehand: labels, namespaces, protected pods, a person on a node."""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase

from detectors.model import IncidentState
from policies.cluster_view import OPT_OUT, OWN_CORDON, SNOOZE, NodeView, PodView
from policies.guards.contract import NS, QUIET, Guard, GuardContext, few, seconds_words
from policies.node_words import UNCORDON
from policies.windows import moment_ns

OURS = "watchstander"
_ENDED = frozenset({"Succeeded", "Failed"})


class OptOutGuard(Guard):
    """G3."""

    id = "G3"
    says_no_when = "a node, namespace, pod or job that it touches bears `watchstander.io/managed: false`"

    def look(self, context: GuardContext) -> tuple[bool, str]:
        """Labels of nodes and namespaces, labels and annotations of pods (an owner's annotations stand on its pods)."""
        view, reach = context.view, context.reach
        out = [f"node {node.name}" for node in reach.nodes if _opted_out(node.labels) or _opted_out(node.annotations)]
        spaces = sorted({pod.namespace for pod in reach.pods} | {job.namespace for job in reach.jobs if job.namespace})
        if view is not None:
            out += [f"namespace {name}" for name in spaces if _opted_out(view.namespace_labels(name))]
        out += [_pod(pod) for pod in reach.pods if _opted_out(pod.labels) or _opted_out(pod.annotations)]
        if out:
            return False, f"opted out by {OPT_OUT}=false: {few(out)}"
        return True, f"no opt-out on {len(reach.nodes)} nodes, {len(spaces)} namespaces, {len(reach.pods)} pods"


class NamespaceGuard(Guard):
    """G4."""

    id = "G4"
    says_no_when = "a pod that would be moved is in a namespace that is denied, or not among those allowed"
    settings = ("namespaces",)

    def look(self, context: GuardContext) -> tuple[bool, str]:
        """Denied wins over allowed."""
        allowed, denied = context.settings.namespaces.allowed, context.settings.namespaces.denied
        spaces = {pod.namespace for pod in context.reach.pods} | {job.namespace for job in context.reach.jobs}
        for name in sorted(spaces - {""}):
            hit = next((pattern for pattern in denied if fnmatchcase(name, pattern)), None)
            if hit is not None:
                return False, f"namespace {name} is denied ({hit})"
            if allowed and not any(fnmatchcase(name, pattern) for pattern in allowed):
                return False, f"namespace {name} is not among those allowed ({few(list(allowed))})"
        return True, f"{len(spaces - {''})} namespaces, all allowed"


class ProtectedGuard(Guard):
    """G5."""

    id = "G5"
    says_no_when = "a pod that would be moved is protected by label, annotation or priority"
    settings = ("protected",)

    def look(self, context: GuardContext) -> tuple[bool, str]:
        """Also what other tools write on pods that must stay."""
        settings, pods = context.settings.protected, context.reach.pods
        for pod in pods:
            said = {**pod.annotations, **pod.labels}
            mark = _mark(said, settings.labels) or _mark(pod.annotations, settings.annotations)
            if mark:
                return False, f"{_pod(pod)} is protected by {mark}"
            if pod.priority >= settings.priority:
                return False, f"{_pod(pod)} has priority {pod.priority}, {settings.priority} or more is protected"
        return True, f"none of {len(pods)} pods is protected"


class PersonGuard(Guard):
    """G19."""

    id = "G19"
    says_no_when = (
        "a person has uncordoned, snoozed or cordoned the node, another tool holds it, or the incident sleeps"
    )
    settings = ("person",)

    def look(self, context: GuardContext) -> tuple[bool, str]:
        """A person's word, or another controller's, comes first. An undo meets only what Watchstander did itself."""
        asked_for = context.undoes and context.approved_by  # a person's newer word
        if context.facts.incident.state is IncidentState.SNOOZED and not asked_for:
            return False, "a person has snoozed the incident"
        for node in context.reach.nodes:
            why = self._held(node, context)
            if why:
                return False, f"node {node.name}: {why}"
        if not context.undoes:
            nodes = {node.uid: node.name for node in context.reach.nodes}
            for one in context.since(context.settings.person.remember_seconds):
                if one.what == UNCORDON and one.node in nodes:
                    ago = seconds_words((context.now_ns - one.time_ns) / NS)
                    return False, f"node {nodes[one.node]}: a person uncordoned it {ago} ago"
        return True, f"nobody has spoken for {len(context.reach.nodes)} nodes"

    def _held(self, node: NodeView, context: GuardContext) -> str:
        until = node.annotations.get(SNOOZE, "")
        if until:
            until_ns = moment_ns(until)
            if until_ns is None:
                return f"{SNOOZE} cannot be read: write an RFC 3339 time with an offset"
            if until_ns > context.now_ns:
                return f"snoozed by {SNOOZE} for {seconds_words((until_ns - context.now_ns) / NS)} more"
        if node.held_by not in ("", OURS):
            return f"held by {node.held_by}"
        if node.unschedulable and OWN_CORDON not in node.annotations and self._touches(node, context):
            return "cordoned by someone else"
        return ""

    @staticmethod
    def _touches(node: NodeView, context: GuardContext) -> bool:
        return any(step.target.uid == node.uid and step.kind not in QUIET for step in context.steps)


def leaves_alone(pod: PodView) -> bool:
    """Whether a drain leaves a pod where it is: static pods, DaemonSets' pods, and what has ended."""
    return pod.mirror or pod.phase in _ENDED or (pod.owner is not None and pod.owner.kind == "DaemonSet")


def _opted_out(said: Mapping[str, str]) -> bool:
    return said.get(OPT_OUT, "").strip().lower() == "false"


def _mark(said: Mapping[str, str], marks: Mapping[str, str]) -> str:
    def hits() -> Iterator[str]:
        for key, value in marks.items():
            if key in said and value in ("*", said[key]):
                yield f"{key}={said[key]}"

    return next(hits(), "")


def _pod(pod: PodView) -> str:
    return f"pod {pod.namespace}/{pod.name}"
