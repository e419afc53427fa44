"""`checkpoint`: ask a job to save before it is moved (P1), through the API alone.

A job that can save on demand says how, by the annotation `watchstander.io/checkpoint` on its top owner or pods, which
the step has as argument `how`. One way works through the API: `annotation`. Watchstander then sets
`watchstander.io/checkpoint-requested` on the owner to a mark, and waits until whoever saves for the job sets
`watchstander.io/checkpoint-done` to the same mark. Silence is no failure: the plan goes on, and says so.

Arguments: `how`, `deadline_seconds`. Memo: `began`.
"""

from policies.cluster.client import path_of
from policies.cluster.look import Look, anew_on_conflict, done, remember, running, skipped
from policies.cluster.marks import annotations, mark, preconditions
from policies.cluster.restart_job import plural_of
from policies.cluster.targets import gone, read
from policies.cluster_view import CHECKPOINT
from policies.journal import Progress

HOW = "annotation"
REQUESTED = "watchstander.io/checkpoint-requested"
DONE = "watchstander.io/checkpoint-done"
AGAIN_SECONDS = 2.0


def advance(look: Look) -> Progress:
    """Ask once, then wait for the answer or the bound."""
    return anew_on_conflict(lambda: _advance(look))


def verify(look: Look) -> Progress:
    """Whether the job's word that it has saved stands."""
    job = read(look.client, look.step.target, plural_of(look.step.target))
    if job is None:
        return skipped(gone(look))
    said = annotations(job).get(DONE) == mark(look.plan)
    return done(f"{look.step.target} says that it has saved") if said else skipped(f"{look.step.target} says nothing")


def _advance(look: Look) -> Progress:
    target, ours, plural = look.step.target, mark(look.plan), plural_of(look.step.target)
    job = read(look.client, target, plural)
    if job is None:
        return skipped(gone(look))
    noted = annotations(job)
    if noted.get(DONE) == ours:
        return done(f"{target} says that it has saved")
    if look.text("how") != HOW:
        asked = f"asks to be told by {look.text('how')!r}" if look.text("how") else "does not say how it can save"
        return skipped(f"{target} {asked}; through the API only {CHECKPOINT}: {HOW} can be done")
    if "began" not in look.memo:
        return remember({"began": str(look.now_ns)}, f"{target} is to be asked to save")
    if noted.get(REQUESTED) != ours:
        body = {"metadata": {**preconditions(job), "annotations": {REQUESTED: ours}}}
        look.client.patch(path_of(target.api_version, plural, target.namespace, target.name), body)
        return running(f"{target} is asked to save", AGAIN_SECONDS, changed=True)
    waited, longest = look.since_began(), look.seconds("deadline_seconds", look.settings.checkpoint_seconds)
    if waited > longest:
        return skipped(f"{target} did not say within {waited:.0f} s that it has saved; going on without")
    return running(f"{target} was asked to save {waited:.0f} s ago", AGAIN_SECONDS)
