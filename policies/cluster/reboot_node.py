"""`reboot_node`: by a Job or a custom resource from the operator's template. It is over when the node is Ready again
with another boot id; what the object itself says counts only where it says that it failed.

Arguments: `boot_id` as it was when the plan was made, where known; what the template asks for; `deadline_seconds`.
Memo: `began`, and `boot_id` as it was before.
"""

from policies.cluster.client import Json
from policies.cluster.look import Look, done, failed, remember, running, skipped
from policies.cluster.maintenance import AGAIN_SECONDS, create, created, in_use, outcome, template_of
from policies.cluster.marks import object_name
from policies.cluster.targets import gone, is_ready, node_of
from policies.journal import Progress

FAILED_SECONDS = 300.0
"""A Job whose own node reboots may be marked failed by that: believed only after so long without a new boot id."""


def boot_id(node: Json) -> str:
    """As the kubelet reports it."""
    return str(node.get("status", {}).get("nodeInfo", {}).get("bootID", ""))


def advance(look: Look) -> Progress:
    """Remember the boot id, create the object once, wait for another boot id."""
    template = template_of(look)
    node = node_of(look)
    if node is None:
        return skipped(gone(look))
    target, name = look.step.target, object_name(look.plan, look.index)
    if "boot_id" not in look.memo:
        planned = look.text("boot_id")
        if planned and boot_id(node) not in ("", planned):
            return skipped(f"{target} has rebooted since the plan was made: boot id {boot_id(node)}, not {planned}")
        if reason := in_use(look, node):
            return failed(reason)
        memo = {"began": str(look.now_ns), "boot_id": boot_id(node)}
        return remember(memo, f"{target} has boot id {boot_id(node) or 'unknown'}; {name} is to be created")
    before = look.memo["boot_id"]
    if boot_id(node) != before and is_ready(node):
        return done(f"{target} is Ready with a new boot id {boot_id(node)}")
    waited, longest = look.since_began(), look.seconds("deadline_seconds", look.settings.reboot_seconds)
    state = (
        f"{'Ready' if is_ready(node) else 'NotReady'}, boot id {'the old one' if boot_id(node) == before else 'new'}"
    )
    if waited > longest:
        return failed(f"{target} did not come back within {waited:.0f} s: {state}")
    thing = created(look, template)
    if thing is None and boot_id(node) == before and is_ready(node):
        if reason := in_use(look, node):
            return failed(reason)
        return running(f"{name} created to reboot {target}", AGAIN_SECONDS, changed=create(look, template))
    if thing is not None and outcome(template, thing) is False and boot_id(node) == before and waited > FAILED_SECONDS:
        return failed(f"{name} has failed, and {target} was not rebooted: {state}")
    return running(f"{target} is to reboot: {state}, {waited:.0f} s", AGAIN_SECONDS)


def verify(look: Look) -> Progress:
    """Whether it is still Ready with another boot id."""
    node = node_of(look)
    if node is None:
        return skipped(gone(look))
    if boot_id(node) == look.memo.get("boot_id", "") or not is_ready(node):
        return failed(f"{look.step.target} is not Ready with a new boot id")
    return done(f"{look.step.target} is Ready with boot id {boot_id(node)}")
