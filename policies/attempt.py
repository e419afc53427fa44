"""One rule at one incident: what it comes to, and what each guard says to it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from policies.around import Around
from policies.cluster_view import ClusterView, NodeView, Taken
from policies.facts import Facts, Place
from policies.guard_settings import GuardSettings
from policies.guards import (
    OF_MOVING,
    PASSING,
    WITHOUT_A_CLUSTER,
    GuardContext,
    judge,
    judge_all,
    refusing,
    stricter,
)
from policies.guards.limits import room_for
from policies.guards.pace import spent
from policies.guards.wave import acted_in, crowd_of
from policies.history import standing
from policies.model import Action, ActionKind, GuardWord, Mode
from policies.plan import Plan, StepKind, make_plan
from policies.planner import NOTHING_LACKING, NS, CanRestart, Draft, any_gang, draft, known_nodes
from policies.ramp import allowance, release_ns
from policies.reach import blast_of, reach_of
from policies.rules import Rule
from policies.sentences import undo_words


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a rule comes to now."""

    actions: tuple[Action, ...]
    left_out: tuple[str, ...]
    words: tuple[GuardWord, ...] = ()
    plan: Plan | None = None
    refusing: tuple[GuardWord, ...] = ()
    """Of `words`."""
    all_refusing: tuple[GuardWord, ...] = ()
    """Also those that only kept work from being moved."""
    again_ns: int = 0

    @property
    def ripe(self) -> bool:
        """Whether only guards that let go by themselves hold it up, or a person's yes, or nothing."""
        return all(word.guard in PASSING for word in self.refusing)


def attempt_at(
    facts: Facts,
    rule: Rule,
    mode: Mode,
    settings: GuardSettings,
    view: ClusterView | None,
    taken: Sequence[Taken],
    around: Around,
    *,
    decision_id: str,
    ripe_ns: int = 0,
    can_restart: CanRestart = any_gang,
    lacking: Mapping[ActionKind, str] = NOTHING_LACKING,
) -> Attempt:
    """The actions, the plan where a cluster is known, and the guards' words. Pure."""
    bare = GuardContext(facts=facts, rule=rule, mode=mode, now_ns=facts.now_ns, settings=settings, around=around)
    if view is None:
        return _without_a_cluster(bare)
    context = replace(bare, view=view, ripe_ns=ripe_ns)
    nodes, missing, again_ns = _batch(context, taken)
    made = draft(facts, rule, settings, view, taken, nodes, can_restart=can_restart, lacking=lacking)
    whole = _judged(context, made, missing, decision_id, again_ns)
    if not whole.refusing or not {word.guard for word in whole.refusing} <= OF_MOVING:
        return whole
    made = draft(facts, rule, settings, view, taken, nodes, moving=False, can_restart=can_restart, lacking=lacking)
    if not made.steps:
        return whole
    stays = [f"moving work ({word.guard}: {word.reason})" for word in whole.refusing]
    partly = _judged(context, made, [*missing, *stays], decision_id, again_ns)
    return replace(partly, all_refusing=whole.refusing) if not partly.refusing else whole


def _judged(context: GuardContext, made: Draft, missing: Sequence[str], decision_id: str, again_ns: int) -> Attempt:
    """A draft with its plan and what each guard says to it."""
    facts, settings = context.facts, context.settings
    left_out = tuple(dict.fromkeys((*missing, *made.left_out)))
    again_ns = min((moment for moment in (again_ns, made.again_ns) if moment), default=0)
    if not made.steps or context.view is None:
        return Attempt(tuple(made.actions), left_out, *_told(context, made.actions), again_ns=again_ns)
    steps = made.ordered()
    blast = blast_of(reach_of(steps, context.view))
    deadline_ns = facts.now_ns + settings.plan.lapse_seconds * NS
    plan = make_plan(
        facts.incident.id, decision_id, context.rule.name, steps, blast, facts.now_ns, deadline_ns=deadline_ns
    )
    words = judge_all(replace(context, plan=plan))
    against = refusing(words)
    return Attempt(tuple(made.actions), left_out, words, plan, against, against, again_ns)


def _told(context: GuardContext, actions: Sequence[Action]) -> tuple[tuple[GuardWord, ...]]:
    """Telling people touches nothing, so that only G2 has a word in it."""
    return (judge(context, ("G2",)) if actions else (),)


def _without_a_cluster(context: GuardContext) -> Attempt:
    """What would be done, by what the telemetry alone knows. Only in audit does it go without the cluster's word."""
    facts, rule = context.facts, context.rule
    actions, left_out = _placed(facts, rule)
    if all(action.kind is ActionKind.NOTIFY for action in actions):
        return Attempt(actions, left_out, *_told(context, actions))
    held = stricter(context.mode, rule.mode) is Mode.AUDIT or not facts.as_live
    words = judge(context, WITHOUT_A_CLUSTER) if held else judge_all(context)
    against = refusing(words)
    return Attempt(actions, left_out, words, None, against, against)


def _placed(facts: Facts, rule: Rule) -> tuple[tuple[Action, ...], tuple[str, ...]]:
    """The rule's actions with their targets, and why some have none."""
    actions: list[Action] = []
    missing: list[str] = []
    for kind in rule.actions:
        if kind is ActionKind.NOTIFY:
            actions.append(Action(kind=kind, target=facts.incident.subject, target_name=""))
            continue
        of_job = kind is ActionKind.RESTART_JOB
        target, name = (facts.job, facts.job_name) if of_job else (facts.node, facts.node_name)
        words = kind.value.replace("_", " ")
        if target is None:
            missing.append(f"cannot {words}: no {'job' if of_job else 'node'} is known here")
        elif of_job and not facts.interrupted:
            missing.append(f"no need to {words}: job {name} has not been interrupted")
        else:
            actions.append(Action(kind=kind, target=target, target_name=name, undo=undo_words(kind, name)))
    return tuple(actions), tuple(missing)


def _batch(context: GuardContext, taken: Sequence[Taken]) -> tuple[list[tuple[Place, NodeView]], list[str], int]:
    """The nodes that a plan is about: the root's, or as many of a wave as the ramp and the limits have room for (P4).

    With words on those left for later, and when to look at these again.
    """
    facts, view, settings = context.facts, context.view, context.settings
    assert view is not None  # noqa: S101 - the caller has asked
    known, missing = known_nodes(facts, view)
    if not facts.wave:
        return known, missing, 0
    firm = [(place, node) for place, node in known if len(place.families) >= context.rule.sources]
    if len(firm) < len(known):
        few = len(known) - len(firm)
        missing.append(f"{few} of {len(known)} nodes have fewer than {context.rule.sources} independent sources")
    heard = [(place, node) for place, node in firm if not place.silent]
    if len(heard) < len(firm):
        missing.append(f"{len(firm) - len(heard)} nodes of the wave are silent")
        firm = heard or firm[:1]
    done = {uid for what, uid in standing(taken, facts.incident.id) if what == StepKind.CORDON.value}
    fresh = [(place, node) for place, node in firm if not node.unavailable and node.uid not in done]
    if not fresh:
        missing.append(f"no node of the wave is left: {len(firm)} are out of service or were treated")
        return [], missing, 0
    crowd = crowd_of(settings.wave, context.around.crowds)
    room = 1
    if crowd is not None:
        released_ns = release_ns(settings.wave, crowd.first_ns, crowd.last_ns)
        kind, window = facts.incident.kind.value, settings.wave.window_seconds
        went = acted_in(crowd, kind, window, taken, context.around.pending)
        room = max(1, allowance(settings.wave, released_ns, context.now_ns) - len(went))
    window_ns = context.now_ns - settings.rate.seconds * NS
    room = min(room, max(1, settings.rate.acts - len(spent(taken, context.around.pending, window_ns))))
    fits = room_for(view, settings.unavailable, (node for _, node in fresh), context.around, room)
    chosen = {node.uid for node in fits} or {fresh[0][1].uid}
    if len(chosen) < len(fresh):
        missing.append(f"{len(fresh) - len(chosen)} more nodes of the wave for later steps of the ramp")
    batch = [(place, node) for place, node in fresh if node.uid in chosen]
    return batch, missing, 0
