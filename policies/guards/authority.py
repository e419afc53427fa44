"""Who allows it at all: the mode, live data, windows, a pause, the lease."""

from collectors.model import Origin
from policies.guards.contract import Guard, GuardContext
from policies.model import Mode
from policies.windows import is_about, is_open

_MODES = tuple(Mode)


def stricter(one: Mode, other: Mode) -> Mode:
    """The mode that does less."""
    return min(one, other, key=_MODES.index)


class ModeGuard(Guard):
    """G1."""

    id = "G1"
    says_no_when = "the stricter of the agent's mode and the rule's is `audit`, or is `approve` and nobody has said yes"
    needs_view = False

    def look(self, context: GuardContext) -> tuple[bool, str]:
        """The stricter mode counts."""
        held = stricter(context.mode, context.rule.mode)
        whose = "the agent's" if held is context.mode else "the rule's"
        if held is Mode.AUDIT:
            return False, f"{whose} mode is audit: decide and record, touch nothing"
        if held is Mode.ENFORCE:
            return True, "the agent and the rule may act"
        if context.approved_by:
            return True, f"{whose} mode is approve, and {context.approved_by} has said yes"
        return False, f"{whose} mode is approve: a person has to say yes"


class LiveGuard(Guard):
    """G2."""

    id = "G2"
    says_no_when = "the data are a replay or a test: they are decided in audit only and notify nobody"
    needs_view = False

    def look(self, context: GuardContext) -> tuple[bool, str]:
        """What is not live is decided in audit only."""
        origin = context.facts.incident.origin
        if origin is Origin.LIVE:
            return True, "the data are live"
        if context.facts.as_live:
            return True, f"the data are a {origin.value}, which this agent takes for live"
        return False, f"the data are a {origin.value}, not live"


class WindowGuard(Guard):
    """G12."""

    id = "G12"
    says_no_when = "a maintenance window about one of the nodes is open"
    passes = True
    settings = ("windows",)

    def look(self, context: GuardContext) -> tuple[bool, str]:
        """Windows that name no node are about jobs too."""
        for window in context.settings.windows:
            if is_open(window, context.now_ns):
                unnamed = not (window.pools or window.racks or window.nodes)
                node = next((node for node in context.reach.nodes if is_about(window, node)), None)
                if node is not None or unnamed:
                    about = f" for node {node.name}" if node is not None else ""
                    return False, f"maintenance window {window.name!r} is open{about}"
        count = len(context.settings.windows)
        return True, f"none of {count} maintenance windows is open here" if count else "no maintenance window is set"


class PauseGuard(Guard):
    """G20."""

    id = "G20"
    says_no_when = "a person has paused all actions"
    passes = True

    def look(self, context: GuardContext) -> tuple[bool, str]:
        """Who has paused everything, and why."""
        paused = context.view.paused() if context.view is not None else ""
        return (False, f"all actions are paused: {paused}") if paused else (True, "nobody has paused actions")


class LeaderGuard(Guard):
    """G21."""

    id = "G21"
    says_no_when = "this agent does not hold the lease"
    passes = True

    def look(self, context: GuardContext) -> tuple[bool, str]:
        """Two agents must never act at once."""
        why = context.view.leader(context.now_ns) if context.view is not None else ""
        return (False, f"this agent is not the leader: {why}") if why else (True, "this agent is the leader")
