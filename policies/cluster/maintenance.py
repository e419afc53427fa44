"""What a GPU reset and a reboot have in common: a node out of use, an object created once, its end waited for."""

from collectors.errors import FixConfiguration, GiveUp
from policies.cluster import pods as pods_
from policies.cluster.client import Conflicted, Json, NotThere, path_of
from policies.cluster.cordon import is_cordoned
from policies.cluster.look import Look
from policies.cluster.marks import object_name
from policies.cluster.template import Template

AGAIN_SECONDS = 5.0


def template_of(look: Look) -> Template:
    """The operator's template of this step. FixConfiguration where there is none."""
    kind = look.step.kind.value
    found = look.settings.templates.get(kind)
    if found is None:
        raise FixConfiguration(f"no template for {kind}: set one (docs/actions.md has a Job and custom resources)")
    return found


def in_use(look: Look, node: Json) -> str:
    """Why the node must not be touched yet, as one line; empty: it may be.

    With argument `pods` (uids), only those pods stand in the way: the ones that hold the card.
    """
    if not is_cordoned(node):
        return f"{look.step.target} is not cordoned: a new pod could come while it is worked on"
    uids = set(filter(None, look.text("pods").split(",")))
    gpus = look.settings.gpu_resources
    busy = [
        pod
        for pod in pods_.pods_on(look.client, look.step.target.name)
        if pods_.holds_gpus(pod, gpus) and not pods_.is_over(pod) and (not uids or pods_.uid(pod) in uids)
    ]
    return f"{look.step.target}: pods with GPUs still run there: {pods_.names(busy)}; evict them first" if busy else ""


def create(look: Look, template: Template) -> bool:
    """Whether it was created by this call. Its name makes a second one the same."""
    body = template.render(object_name(look.plan, look.index), _values(look))
    path = path_of(str(body.get("apiVersion", "")), template.plural, body["metadata"].get("namespace", ""))
    try:
        look.client.post(path, body)
    except Conflicted:
        return False
    except NotThere as error:
        raise FixConfiguration(
            f"template of {look.step.kind}: the cluster has no {template.plural} of {body.get('apiVersion')}, "
            f"or no such namespace ({error})"
        ) from None
    return True


def created(look: Look, template: Template) -> Json | None:
    """The object as it stands; None: it is not there."""
    name = object_name(look.plan, look.index)
    thing = template.render(name, _values(look))
    namespace = thing["metadata"].get("namespace", "")
    path = path_of(str(thing.get("apiVersion", "")), template.plural, namespace, name)
    try:
        return look.client.get(path)
    except NotThere:
        return None


def _values(look: Look) -> dict[str, str]:
    """What a template's placeholders stand for; what is empty is left out, so that asking for it is an error."""
    target, known = look.step.target, look.settings
    values = {
        **look.step.arguments,
        "node": target.name,
        "node_uid": target.uid,
        "plan": look.plan.id,
        "image": known.image,
        "namespace": known.namespace,
    }
    return {name: value for name, value in values.items() if value} | {"boot_id": look.memo.get("boot_id", "")}


def outcome(template: Template, thing: Json) -> bool | None:
    """True: it has succeeded, False: it has failed, None: it is not over."""
    if any(match.holds(thing) for match in template.failed):
        return False
    if not template.done:
        raise GiveUp("template: `done` is empty: nothing would tell that it is over")
    return True if all(match.holds(thing) for match in template.done) else None
