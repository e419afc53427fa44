"""Decisions in plain words: what would be done, about what, seen by whom, and what stands against it."""

from collections.abc import Sequence

from detectors.correlation import cause_words, where
from policies.facts import WITNESS, Facts
from policies.model import Action, ActionKind, GuardWord, Verdict

_VERB: dict[ActionKind, str] = {
    ActionKind.NOTIFY: "tell people",
    ActionKind.CORDON: "cordon node {name}",
    ActionKind.TAINT: "taint node {name}",
    ActionKind.LABEL: "label node {name}",
    ActionKind.CONDITION: "set a condition on node {name}",
    ActionKind.EVICT: "evict the pods of node {name}",
    ActionKind.RESTART_JOB: "restart job {name}",
    ActionKind.RESET_GPU: "have the GPU reset on node {name}",
    ActionKind.REBOOT_NODE: "have node {name} rebooted",
}
_UNDO: dict[ActionKind, str] = {
    ActionKind.NOTIFY: "",
    ActionKind.CORDON: "uncordon node {name}",
    ActionKind.TAINT: "remove the taint from node {name}",
    ActionKind.LABEL: "remove the label from node {name}",
    ActionKind.CONDITION: "clear the condition of node {name}",
    ActionKind.EVICT: "none: evicted pods are scheduled anew by their owners",
    ActionKind.RESTART_JOB: "none: the job goes on from its last checkpoint",
    ActionKind.RESET_GPU: "none: a reset is over when it is done",
    ActionKind.REBOOT_NODE: "none: a reboot is over when it is done",
}
_MOOD = {Verdict.DO: "will", Verdict.ASK: "asks to"}
_MOST_VERBS = 6


def undo_words(kind: ActionKind, name: str) -> str:
    """How an action is taken back."""
    return _UNDO[kind].format(name=name)


def what(facts: Facts) -> str:
    """The probable cause and its place: `uncorrectable memory error on GPU 3 of node a (rank 3)`."""
    root = facts.root
    if root is None:
        return facts.incident.title
    return f"{cause_words(root)} on {where(root)}"


def sentence(facts: Facts, verdict: Verdict, actions: Sequence[Action], guards: Sequence[GuardWord]) -> str:
    """The whole decision."""
    verbs = [_VERB[action.kind].format(name=action.target_name) for action in actions]
    if len(verbs) > _MOST_VERBS:
        verbs = [*verbs[: _MOST_VERBS - 1], f"{len(verbs) - _MOST_VERBS + 1} more things"]
    doing = verbs[0] if len(verbs) == 1 else f"{', '.join(verbs[:-1])} and {verbs[-1]}"
    seen = " and ".join(WITNESS[family] for family in facts.families)
    against = [word.reason for word in guards if not word.allows]
    refused = f"; not done: {'; '.join(against)}" if against and verdict is not Verdict.ASK else ""
    return f"{_MOOD.get(verdict, 'would')} {doing}: {what(facts)}{f', seen {seen}' if seen else ''}{refused}"
