"""`reset_gpu`: one card anew, by a Job or a custom resource from the operator's template.

Arguments: `gpu` (UUID), `index`, `pci_bus_id`, and what else the template asks for; `pods` (uids of those that hold the
card, where only they stand in the way); `deadline_seconds`.
Memo: `began`, and `created` once it was. Whether the card works again is for the detectors to say, not for the API.
"""

from collectors.errors import GiveUp
from policies.cluster.look import Look, done, failed, remember, running, skipped
from policies.cluster.maintenance import AGAIN_SECONDS, create, created, in_use, outcome, template_of
from policies.cluster.marks import object_name
from policies.cluster.targets import gone, node_of
from policies.journal import Progress


def advance(look: Look) -> Progress:
    """Create it once, then wait for its end."""
    template = template_of(look)
    node = node_of(look)
    if node is None:
        return skipped(gone(look))
    name = object_name(look.plan, look.index)
    if template.asks_for("gpu") and not look.text("gpu"):
        raise GiveUp(f"{look.step.target}: which card is to be reset is not known, and the template asks for it")
    thing = created(look, template)
    if "began" not in look.memo:
        if reason := in_use(look, node):
            return failed(reason)
        return remember({"began": str(look.now_ns)}, f"{name} is to be created for {look.step.target}")
    waited, longest = look.since_began(), look.seconds("deadline_seconds", look.settings.reset_seconds)
    if thing is None and "created" in look.memo:
        return failed(f"{name} was deleted before it was over")
    if thing is None:
        if reason := in_use(look, node):
            return failed(reason)
        create(look, template)
    if "created" not in look.memo:
        # Remembered, since an object that is cleaned up must not be taken for one that was never made.
        memo = {**look.memo, "created": name}
        return remember(memo, f"{name} created for {look.step.target}", changed=thing is None)
    over = outcome(template, thing or {})
    if over is not None:
        return done(f"{look.step.target}: {name} has succeeded") if over else failed(f"{name} has failed")
    if waited > longest:
        return failed(f"{name} is not over after {waited:.0f} s")
    return running(f"{name} runs for {waited:.0f} s", AGAIN_SECONDS)


def verify(look: Look) -> Progress:
    """By the object's own word, as long as it is there."""
    template = template_of(look)
    thing = created(look, template)
    name = object_name(look.plan, look.index)
    if thing is None:
        return done(f"{name} is cleaned up")
    return done(f"{name} has succeeded") if outcome(template, thing) else failed(f"{name} has not succeeded")
