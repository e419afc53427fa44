"""Who may do what in the played cluster: the agent what its mode needs (`watchstander rbac`), and two people."""

from policies.cluster.rbac import AGENT, manifests, roles_for_people
from policies.model import ActionKind, Mode
from policies.rules import default_policy
from testcluster.admin import Admin, Object
from testcluster.objects import meta, namespace

NAMESPACE = "watchstander"
PEOPLE = {"alice": ("sre",), "bob": ("researchers",)}
"""Users of the cluster and their groups: SREs may approve, researchers may look."""
_ROLES = {"sre": "watchstander-approver", "researchers": "watchstander-viewer"}


def actions() -> list[ActionKind]:
    """What the policy that ships may want."""
    return sorted({action for compiled in default_policy().rules for action in compiled.rule.actions})


def grant(admin: Admin, mode: Mode) -> None:
    """Give the agent's account the rights of its mode, and the people's groups theirs."""
    admin.create(namespace(NAMESPACE))
    admin.create_all(manifests(mode, actions(), namespace=NAMESPACE))
    admin.create_all(roles_for_people())
    admin.create_all(_bound(group, role) for group, role in _ROLES.items())


def agent_token(admin: Admin, seconds: int) -> str:
    """A token of the agent's account."""
    return admin.token_request(AGENT, NAMESPACE, seconds=seconds)


def _bound(group: str, role: str) -> Object:
    api = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{api}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": meta(f"{role}-{group}"),
        "roleRef": {"apiGroup": api, "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "Group", "name": group, "apiGroup": api}],
    }
