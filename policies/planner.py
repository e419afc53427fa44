"""From a rule's actions to steps against the cluster, by the plan rules P1 to P6. Pure: the same incident and the same
state of the cluster give the same steps, and so the same digest, in whatever order the view lists things.

P1  a job that can save is asked to before it is moved; one that stands still has nothing left to save
P2  a gang moves once, whole: its owner restarts all of it, none of its pods is evicted singly
P3  reset, reboot, then hand to repair: a rung at a time, the next one only when the last did not help
P4  a wave goes at a ramp: as many nodes as it and the limits have room for
P5  every step names its undo where it has one (`policies/plan.py`)
P6  people are told of every act: `notify` stands first in the actions
A node is cordoned before any pod leaves it: the next pod would get the same card.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from collectors.model import Subject, SubjectKind
from policies.cluster_view import CHECKPOINT, ClusterView, NodeView, Owner, PodView, Taken
from policies.facts import Facts, Place, gang, node_of
from policies.guard_settings import GuardSettings
from policies.guards.consent import leaves_alone
from policies.history import standing, times
from policies.model import Action, ActionKind
from policies.plan import Step, StepKind, Target
from policies.rules import Rule
from policies.sentences import undo_words

NS = 1_000_000_000
GANGS = frozenset(
    {"Job", "JobSet", "LeaderWorkerSet", "TrainJob", "PyTorchJob", "MPIJob", "TFJob", "XGBoostJob", "JAXJob", "RayJob"}
)
"""Kinds whose pods work together: they move whole or not at all (P2). Others make single pods anew by themselves."""
LADDER = (ActionKind.RESET_GPU, ActionKind.REBOOT_NODE)
"""P3: remedies of a node, the gentler first. Restarting the job comes with all of them; after them, repair."""
TAINT_KEY = "watchstander.io/fault"
LABEL_KEY = "watchstander.io/fault"
REPAIR_KEY = "watchstander.io/repair"
CONDITION_TYPE = "WatchstanderFault"
_MOVING = frozenset({ActionKind.EVICT, ActionKind.RESTART_JOB, ActionKind.RESET_GPU, ActionKind.REBOOT_NODE})
_ON_NODES = frozenset(ActionKind) - {ActionKind.NOTIFY, ActionKind.RESTART_JOB}
_ORDER = {
    kind: index
    for index, kind in enumerate(
        (
            StepKind.CORDON,
            StepKind.TAINT,
            StepKind.LABEL,
            StepKind.CONDITION,
            StepKind.CHECKPOINT,
            StepKind.RESTART_JOB,
            StepKind.EVICT,
            StepKind.RESET_GPU,
            StepKind.REBOOT_NODE,
        )
    )
}


CanRestart = Callable[[Target], str]
"""Why a job of this kind cannot be restarted as a whole, in one line; empty where it can."""


def any_gang(target: Target) -> str:
    """Every kind of `GANGS` can."""
    return ""


NOTHING_LACKING: Mapping[ActionKind, str] = MappingProxyType({})


@dataclass(slots=True)
class Draft:
    """What a rule comes to at an incident."""

    actions: list[Action] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    """Why some of what the rule asks for is not in it."""
    again_ns: int = 0
    """When something that is left out for now may be due, Unix ns; 0: never by itself."""

    def ordered(self) -> tuple[Step, ...]:
        """The steps in the order in which they are carried out."""
        return tuple(sorted(self.steps, key=lambda s: (_ORDER[s.kind], s.target, sorted(s.arguments.items()))))


def draft(
    facts: Facts,
    rule: Rule,
    settings: GuardSettings,
    view: ClusterView,
    taken: Sequence[Taken],
    nodes: Sequence[tuple[Place, NodeView]],
    *,
    moving: bool = True,
    can_restart: CanRestart = any_gang,
    lacking: Mapping[ActionKind, str] = NOTHING_LACKING,
) -> Draft:
    """The steps for these nodes (one, or a batch of a wave) and the job. `moving`: whether work may be moved at all;
    `lacking`: actions that this agent has no means for, and why."""
    maker = _Maker(facts, settings, view, taken, can_restart)
    made = maker.draft
    made.left_out += [f"cannot {_words(action)}: {lacking[action]}" for action in rule.actions if action in lacking]
    wanted = [one for one in rule.actions if one not in lacking and (moving or one not in _MOVING)]
    if ActionKind.NOTIFY in wanted:
        made.actions.append(Action(kind=ActionKind.NOTIFY, target=facts.incident.subject, target_name=""))
    if not facts.places and any(action in _ON_NODES for action in wanted):
        made.left_out += [f"cannot {_words(a)}: no node is known here" for a in wanted if a in _ON_NODES]
    for place, node in nodes:
        maker.on_node(place, node, wanted)
    maker.move(wanted)
    return made


def known_nodes(facts: Facts, view: ClusterView) -> tuple[list[tuple[Place, NodeView]], list[str]]:
    """The places that the cluster has, and words on those that it has not."""
    found: list[tuple[Place, NodeView]] = []
    missing: list[str] = []
    for place in facts.places:
        node = node_of(view, place)
        if node is not None:
            found.append((place, node))
        else:
            missing.append(f"node {place.name} (uid {place.subject.id}) is not in the cluster")
    return found, missing


class _Maker:
    """Gathers the steps of one draft."""

    def __init__(
        self,
        facts: Facts,
        settings: GuardSettings,
        view: ClusterView,
        taken: Sequence[Taken],
        can_restart: CanRestart,
    ) -> None:
        self.draft = Draft()
        self._facts = facts
        self._settings = settings
        self._view = view
        self._taken = taken
        self._can_restart = can_restart
        self._done = standing(taken, facts.incident.id)
        self._kind = facts.incident.kind.value
        self._leaving: dict[str, tuple[NodeView, list[PodView]]] = {}
        """Pods that have to leave each node, by the node's uid."""

    def on_node(self, place: Place, node: NodeView, wanted: Sequence[ActionKind]) -> None:
        """Everything that is about one node."""
        rung = self._rung(node, [action for action in LADDER if action in wanted])
        evicts = ActionKind.EVICT in wanted and not self._was(StepKind.EVICT, node)
        closes = rung is not None or evicts
        if closes or (ActionKind.CORDON in wanted and not self._held(ActionKind.CORDON, StepKind.CORDON, node)):
            self._act(ActionKind.CORDON, node)
            self._step(StepKind.CORDON, node, {}, f"cordon node {node.name}")
        value = self._kind.replace("_", "-")
        if ActionKind.TAINT in wanted and not self._held(ActionKind.TAINT, StepKind.TAINT, node):
            self._act(ActionKind.TAINT, node)
            arguments = {"key": TAINT_KEY, "value": value, "effect": "NoSchedule"}
            self._step(StepKind.TAINT, node, arguments, f"taint node {node.name} {TAINT_KEY}={value}:NoSchedule")
        if ActionKind.LABEL in wanted and not self._held(ActionKind.LABEL, StepKind.LABEL, node):
            self._act(ActionKind.LABEL, node)
            self._label(node, LABEL_KEY, value)
        if ActionKind.CONDITION in wanted and not self._held(ActionKind.CONDITION, StepKind.CONDITION, node):
            self._act(ActionKind.CONDITION, node)
            self._condition(place, node)
        if closes:
            self._leave(place, node, rung if not evicts else None)
            if evicts:
                self._act(ActionKind.EVICT, node)
        if rung is ActionKind.RESET_GPU:
            for card in place.cards:
                self._reset(node, {"gpu": card.uuid, "index": card.index, "pci_bus_id": card.pci_bus_id})
            if not place.cards:
                self._reset(node, {})
            self._act(rung, node)
        elif rung is ActionKind.REBOOT_NODE:
            self._act(rung, node)
            arguments = {"boot_id": node.boot_id} if node.boot_id else {}
            self._step(StepKind.REBOOT_NODE, node, arguments, f"have node {node.name} rebooted")

    def move(self, wanted: Sequence[ActionKind]) -> None:
        """P1 and P2: gangs are restarted whole, what else is on a node that empties is evicted."""
        gangs: dict[str, tuple[Owner, tuple[PodView, ...]]] = {}
        restarts = ActionKind.RESTART_JOB in wanted
        for _, pods in self._leaving.values():
            for pod in pods:
                owner = pod.owner
                if not restarts or owner is None or owner.kind not in GANGS or owner.uid in gangs:
                    continue
                if not self._why_not(owner, pod.namespace):
                    gangs[owner.uid] = (owner, self._gang(owner))
        if restarts:
            self._own_job(gangs)
        for uid in sorted(gangs):
            self._restart(*gangs[uid])
        for node, pods in self._leaving.values():
            singles = [pod for pod in pods if pod.owner is None or pod.owner.uid not in gangs]
            if singles:
                deadline = str(self._settings.budgets.deadline_seconds)
                arguments = {"pods": ",".join(sorted(pod.uid for pod in singles)), "deadline_seconds": deadline}
                words = f"evict {len(singles)} pod{'s' * (len(singles) != 1)} from node {node.name}"
                self._step(StepKind.EVICT, node, arguments, words)
                for owner, members in self._saving(singles):
                    self._checkpoint(owner, members)

    def _own_job(self, gangs: dict[str, tuple[Owner, tuple[PodView, ...]]]) -> None:
        """The job that the incident touches, where it stands still."""
        facts = self._facts
        if facts.job is None:
            self.draft.left_out.append("cannot restart job: no job is known here")
            return
        pods = gang(self._view, facts)
        owner = pods[0].owner if pods else None
        if owner is not None and owner.uid in gangs:
            return
        if not facts.interrupted:
            self.draft.left_out.append(f"no need to restart job: job {facts.job_name} has not been interrupted")
        elif not facts.stands_still:
            self.draft.left_out.append(f"no need to restart job: job {facts.job_name} makes steps again")
        elif owner is None:
            self.draft.left_out.append(f"cannot restart job: the cluster has no pods of job {facts.job_name}")
        elif owner.kind not in GANGS:
            self.draft.left_out.append(
                f"no need to restart job: {owner.kind} {owner.name} makes its pods anew by itself"
            )
        elif why_not := self._why_not(owner, pods[0].namespace):
            self.draft.left_out.append(f"cannot restart job: {why_not}")
        elif self._done.get((StepKind.RESTART_JOB.value, owner.uid), 0) > facts.interrupted_ns:
            self.draft.left_out.append(f"no need to restart job: {owner.name} was restarted since it was interrupted")
        else:
            gangs[owner.uid] = (owner, pods)

    def _restart(self, owner: Owner, pods: tuple[PodView, ...]) -> None:
        target = _target(owner, pods[0].namespace if pods else "")
        of_incident = self._facts.job is not None and owner.uid == self._facts.job_uid
        job = (
            self._facts.job
            if of_incident and self._facts.job
            else Subject(self._facts.incident.subject.cluster, SubjectKind.JOB, owner.uid)
        )
        name = self._facts.job_name if of_incident else owner.name
        self.draft.actions.append(Action(ActionKind.RESTART_JOB, job, name, undo_words(ActionKind.RESTART_JOB, name)))
        if not (self._facts.stands_still and self._is_own(owner)):
            self._checkpoint(owner, pods)
        arguments = {"pods_seen": str(len(pods))}
        words = f"restart {target}, {len(pods)} pod{'s' * (len(pods) != 1)}"
        self.draft.steps.append(Step(StepKind.RESTART_JOB, target, arguments, words))

    def _why_not(self, owner: Owner, namespace: str) -> str:
        return self._can_restart(_target(owner, namespace))

    def _is_own(self, owner: Owner) -> bool:
        return any(pod.owner == owner for pod in gang(self._view, self._facts)[:1])

    def _checkpoint(self, owner: Owner, pods: Iterable[PodView]) -> None:
        """P1, where the job says how."""
        said = sorted((pod for pod in pods if pod.annotations.get(CHECKPOINT)), key=lambda p: (p.name, p.uid))
        if said:
            how = said[0].annotations[CHECKPOINT]
            target = _target(owner, said[0].namespace)
            seconds = str(self._settings.plan.checkpoint_seconds)
            step = Step(StepKind.CHECKPOINT, target, {"how": how, "deadline_seconds": seconds}, f"ask {target} to save")
            self.draft.steps.append(step)

    def _saving(self, pods: Sequence[PodView]) -> list[tuple[Owner, list[PodView]]]:
        owners = {pod.owner.uid: pod.owner for pod in pods if pod.owner is not None}
        return [
            (owners[uid], [p for p in pods if p.owner is not None and p.owner.uid == uid]) for uid in sorted(owners)
        ]

    def _gang(self, owner: Owner) -> tuple[PodView, ...]:
        return tuple(sorted(self._view.pods_of(owner.uid), key=lambda pod: (pod.namespace, pod.name, pod.uid)))

    def _leave(self, place: Place, node: NodeView, rung: ActionKind | None) -> None:
        """The pods that have to leave: all for a reboot, those that hold the cards for a reset, else all with GPUs."""
        pods = [pod for pod in self._view.pods_on(node.name) if not leaves_alone(pod) and not pod.deleting]
        if rung is not ActionKind.REBOOT_NODE:
            pods = [pod for pod in pods if pod.gpus]
        cards = {card.pod for card in place.cards}
        if rung is ActionKind.RESET_GPU and cards and "" not in cards:
            pods = [pod for pod in pods if pod.uid in cards]
        self._leaving[node.uid] = (node, sorted(pods, key=lambda pod: (pod.namespace, pod.name, pod.uid)))

    def _rung(self, node: NodeView, rungs: Sequence[ActionKind]) -> ActionKind | None:
        """P3: the first remedy that was not yet tried often enough; none while the last one still has time to help."""
        cool, attempts = self._settings.node.cool_down_seconds, self._settings.attempts
        since_ns = self._facts.now_ns - attempts.node_seconds * NS
        recent = [one for one in self._taken if one.time_ns > since_ns]
        for rung in rungs:
            tried = times(recent, StepKind(rung.value), node.uid, self._kind)
            if tried and self._facts.now_ns - tried[-1] < cool * NS:
                self.draft.left_out.append(f"waits {cool} s to see whether the last {_words(rung)} helped")
                self.draft.again_ns = tried[-1] + cool * NS
                return None
            if len(tried) < attempts.rung:
                return rung
        if rungs:
            tried_words = " and ".join(_words(rung) for rung in rungs)
            self.draft.left_out.append(f"{tried_words} did not help: node {node.name} is handed to repair")
            if (StepKind.LABEL.value, node.uid) not in self._done:
                self._act(ActionKind.LABEL, node)
                self._label(node, REPAIR_KEY, "needed")
        return None

    def _was(self, kind: StepKind, node: NodeView) -> bool:
        return (kind.value, node.uid) in self._done

    def _held(self, action: ActionKind, kind: StepKind, node: NodeView) -> bool:
        """Whether this incident has had it done already; then it is said."""
        if self._was(kind, node):
            self.draft.left_out.append(f"{_words(action)} of node {node.name} is done")
            return True
        return False

    def _act(self, kind: ActionKind, node: NodeView) -> None:
        subject = Subject(self._facts.incident.subject.cluster, SubjectKind.NODE, node.uid)
        if not any(a.kind is kind and a.target == subject for a in self.draft.actions):
            self.draft.actions.append(Action(kind, subject, node.name, undo_words(kind, node.name)))

    def _step(self, kind: StepKind, node: NodeView, arguments: dict[str, str], words: str) -> None:
        self.draft.steps.append(Step(kind, Target("v1", "Node", "", node.name, node.uid), arguments, words))

    def _label(self, node: NodeView, key: str, value: str) -> None:
        self._step(StepKind.LABEL, node, {"key": key, "value": value}, f"label node {node.name} {key}={value}")

    def _condition(self, place: Place, node: NodeView) -> None:
        reason = "".join(part.capitalize() for part in self._kind.split("_"))
        cards = ", ".join(f"GPU {card.index or card.uuid}" for card in place.cards)
        message = f"{self._kind}{f' on {cards}' if cards else ''}; incident {self._facts.incident.id}"
        arguments = {"type": CONDITION_TYPE, "reason": reason, "message": message}
        self._step(StepKind.CONDITION, node, arguments, f"set condition {CONDITION_TYPE} on node {node.name}")

    def _reset(self, node: NodeView, arguments: dict[str, str]) -> None:
        told = {key: value for key, value in arguments.items() if value}
        which = f"GPU {told.get('index') or told.get('gpu', '')}".strip() if told else "the GPUs"
        self._step(StepKind.RESET_GPU, node, told, f"have {which} of node {node.name} reset")


def _target(owner: Owner, namespace: str) -> Target:
    return Target(owner.api_version, owner.kind, namespace, owner.name, owner.uid)


def _words(action: ActionKind) -> str:
    return action.value.replace("_", " ")
