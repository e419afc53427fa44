"""How fast and how often: rate, one thing at a time, waits, attempts."""

from collections.abc import Iterable

from policies.around import Pending
from policies.cluster_view import Taken
from policies.guards.contract import ACTS, NS, Guard, GuardContext, seconds_words
from policies.plan import StepKind
from policies.reach import MOVES, TAKES_OUT

_REMEDIES = frozenset({StepKind.CORDON.value, StepKind.RESET_GPU.value, StepKind.REBOOT_NODE.value})


def acted_on(context: GuardContext) -> frozenset[str]:
    """uids of nodes and jobs that what is left of the plan disturbs."""
    nodes = {s.target.uid for s in context.steps if s.target.kind == "Node" and s.kind in TAKES_OUT | MOVES}
    return frozenset(nodes | {job.uid for job in context.reach.jobs})


def spent(taken: Iterable[Taken], pending: Iterable[Pending], since_ns: int) -> frozenset[str]:
    """uids of nodes and jobs that were acted on since then, or are about to be."""
    held = {_acted(one.what, one.node, one.job) for one in taken if one.what in ACTS and one.time_ns > since_ns}
    return frozenset(held - {""} | {uid for one in pending for uid in (*one.nodes, *one.jobs)})


class RateGuard(Guard):
    """G9."""

    id = "G9"
    says_no_when = "as many nodes and jobs were acted on lately as the rate allows"
    passes = True
    settings = ("rate",)

    def look(self, context: GuardContext) -> tuple[bool, str]:
        """Different nodes and jobs count; what the plan has begun is paid for already."""
        settings, own = context.settings.rate, context.facts.incident.id
        lately = [one for one in context.since(settings.seconds) if one.what in ACTS]
        paid = {one.node for one in lately if one.incident == own} | {one.job for one in lately if one.incident == own}
        gone = spent(lately, context.around.pending, context.now_ns - settings.seconds * NS)
        new = acted_on(context) - gone - paid
        total = len(gone) + len(new)
        words = (
            f"{len(gone)} nodes and jobs acted on within {seconds_words(settings.seconds)}, "
            f"{len(new)} more would be {total}, at most {settings.acts} may be"
        )
        return not new or total <= settings.acts, words


class OneAtATimeGuard(Guard):
    """G10."""

    id = "G10"
    says_no_when = "another plan is under way on the node or job, or something was done to it within the cool-down"
    passes = True
    settings = ("node",)

    def look(self, context: GuardContext) -> tuple[bool, str]:
        """Steps of the same incident cool down only where the very same step would be repeated."""
        mine, own = acted_on(context), context.facts.incident.id
        for pending in context.around.pending:
            if mine & {*pending.nodes, *pending.jobs}:
                return False, f"plan {pending.plan} of {pending.incident} is under way there"
        cool = context.settings.node.cool_down_seconds
        begun = context.plan.made_ns if context.plan is not None else context.now_ns
        left = {(step.kind.value, step.target.uid) for step in context.steps}
        for one in reversed(context.since(cool)):
            if one.what not in ACTS:
                continue
            touched = _acted(one.what, one.node, one.job)
            again = one.incident == own and one.time_ns < begun and (one.what, touched) in left
            if touched in mine and (one.incident != own or again):
                ago = (context.now_ns - one.time_ns) / NS
                words = f"{one.what} {seconds_words(ago)} ago, it cools down for {seconds_words(cool)}"
                return False, words
        return True, f"nothing else was done there within {seconds_words(cool)}"


class WaitGuard(Guard):
    """G11."""

    id = "G11"
    says_no_when = "the incident is younger than the rule's wait, or for an undo was resolved too lately"
    passes = True
    needs_view = False

    def look(self, context: GuardContext) -> tuple[bool, str]:
        """What passes by itself passes; what is healed stays so for a while before it counts."""
        incident, rule = context.facts.incident, context.rule
        if context.undoes and incident.resolved_ns is not None:
            age = max(0, (context.now_ns - incident.resolved_ns) // NS)
            return (
                age >= rule.healthy_seconds,
                f"the rule asks for {rule.healthy_seconds} s in health, it is resolved for {age} s",
            )
        if context.undoes:
            return True, "what was done on the former root needs no wait"
        age = max(0, (context.now_ns - incident.opened_ns) // NS)
        return age >= rule.wait_seconds, f"the rule waits {rule.wait_seconds} s, the incident is {age} s old"


class AttemptsGuard(Guard):
    """G22."""

    id = "G22"
    says_no_when = "the same remedy was tried as often as is allowed, on the node for this kind of fault or on the job"
    settings = ("attempts",)

    def look(self, context: GuardContext) -> tuple[bool, str]:
        """Repeating what did not help is no remedy: a person looks."""
        settings, own, kind = context.settings.attempts, context.facts.incident.id, context.facts.incident.kind.value
        wanted = {s.target.uid: s.target.name for s in context.steps if s.kind.value in _REMEDIES}
        tried: dict[str, set[str]] = {}
        for one in context.since(settings.node_seconds):
            if one.what in _REMEDIES and one.node in wanted and one.root_kind == kind and one.incident != own:
                tried.setdefault(one.node, set()).add(one.incident)
        for uid, incidents in sorted(tried.items()):
            if len(incidents) >= settings.node:
                within = seconds_words(settings.node_seconds)
                return False, f"node {wanted[uid]} was treated for {kind} {len(incidents)} times within {within}"
        jobs = {s.target.uid: s.target.name for s in context.steps if s.kind is StepKind.RESTART_JOB}
        lately = context.since(settings.job_seconds)
        restarts = [o for o in lately if o.what == "restart_job" and o.job in jobs and o.root_kind == kind]
        for uid, name in sorted(jobs.items()):
            count = sum(one.job == uid for one in restarts)
            if count >= settings.job:
                within = seconds_words(settings.job_seconds)
                return (
                    False,
                    f"job {name} was restarted for {kind} {count} times within {within}, at most {settings.job} may be",
                )
        most = max((len(incidents) for incidents in tried.values()), default=0)
        return True, f"{most} of {settings.node} treatments of the node, {len(restarts)} of {settings.job} restarts"


def _acted(what: str, node: str, job: str) -> str:
    return job if what == StepKind.RESTART_JOB.value else node
