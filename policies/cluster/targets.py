"""Reading a step's target: by name, and only where it bears the uid that was decided about."""

from collectors.errors import GiveUp
from policies.cluster.client import Json, KubeClient, NotThere, path_of
from policies.cluster.look import Look
from policies.plan import Target


def node_path(look: Look, sub: str = "") -> str:
    """Of the step's node."""
    return path_of("v1", "nodes", name=look.step.target.name, sub=sub)


def node_of(look: Look) -> Json | None:
    """The step's node as it stands; None: it is gone. GiveUp where another node has its name by now."""
    return read(look.client, look.step.target, "nodes")


def read(client: KubeClient, target: Target, plural: str) -> Json | None:
    """Any target as it stands; None: it is gone. GiveUp where another object has its name by now."""
    try:
        found = client.get(path_of(target.api_version, plural, target.namespace, target.name))
    except NotThere:
        return None
    uid = found["metadata"]["uid"]
    if uid != target.uid:
        raise GiveUp(f"{target}: decided about uid {target.uid}, but it is {uid} now: another one under the same name")
    return found


def gone(look: Look) -> str:
    """A sentence for what is not there any more."""
    return f"{look.step.target} is gone"


def is_ready(node: Json) -> bool:
    """Its Ready condition is True."""
    conditions = node.get("status", {}).get("conditions") or ()
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)
