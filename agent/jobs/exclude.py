"""The piece of a pod template that keeps a job off some nodes, ready to paste."""

import json
from collections.abc import Iterable

from agent.api.words import plain

HOSTNAME_LABEL = "kubernetes.io/hostname"


def exclude_snippet(nodes: Iterable[str]) -> str:
    """YAML for `spec.affinity` of a pod template; empty where there is nobody to exclude.

    Names are quoted as JSON strings, which YAML reads as they stand: a node's name cannot break out.
    """
    names = sorted({plain(node) for node in nodes if node})
    if not names:
        return ""
    lines = [
        "# Under spec of the pod template. Where there are nodeSelectorTerms already, add the",
        "# matchExpressions to each of them: terms are alternatives.",
        "affinity:",
        "  nodeAffinity:",
        "    requiredDuringSchedulingIgnoredDuringExecution:",
        "      nodeSelectorTerms:",
        "        - matchExpressions:",
        f"            - key: {HOSTNAME_LABEL}",
        "              operator: NotIn",
        "              values:",
        *(f"                - {json.dumps(name)}" for name in names),
    ]
    return "\n".join(lines) + "\n"
