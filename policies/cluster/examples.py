"""Templates that docs/actions.md shows, as data: a Job that resets a card or reboots a node, and custom resources of
NVSentinel's janitor. An operator copies one into settings and puts an image of their own in.
"""

from typing import Any

from policies.cluster.template import Match, Template

KEEP_SECONDS = 86400
"""How long a finished Job stays: longer than any wait for it, so that it is never taken for one that was deleted."""
JOB_DONE = (Match("status.conditions[type=Complete].status", "True"),)
JOB_FAILED = (Match("status.conditions[type=Failed].status", "True"),)


def maintenance_job(namespace: str, image: str, command: list[str]) -> dict[str, Any]:
    """A Job that runs once, as root, on the step's node, cordoned or not.

    `nodeName` goes past the scheduler, which would not place a pod on a cordoned node.
    """
    pod = {
        "nodeName": "${node}",
        "restartPolicy": "Never",
        "hostPID": True,
        "automountServiceAccountToken": False,
        "tolerations": [{"operator": "Exists"}],
        "containers": [
            {
                "name": "maintenance",
                "image": image,
                "command": command,
                "securityContext": {"privileged": True},
            }
        ],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"namespace": namespace, "labels": {"app.kubernetes.io/managed-by": "watchstander"}},
        "spec": {"backoffLimit": 0, "ttlSecondsAfterFinished": KEEP_SECONDS, "template": {"spec": pod}},
    }


def reset_by_job(namespace: str, image: str) -> Template:
    """`nvidia-smi --gpu-reset` in the host's namespaces; nothing may use the card."""
    command = ["nsenter", "-t", "1", "-m", "--", "nvidia-smi", "--gpu-reset", "-i", "${gpu}"]
    return Template("jobs", maintenance_job(namespace, image, command), JOB_DONE, JOB_FAILED)


def reboot_by_job(namespace: str, image: str) -> Template:
    """Reboots only while the node still has the boot id that was seen before: a second run of it does nothing."""
    script = 'test "$$(cat /proc/sys/kernel/random/boot_id)" != "$$1" || nsenter -t 1 -m -- systemctl reboot'
    command = ["sh", "-c", script, "reboot", "${boot_id}"]
    return Template("jobs", maintenance_job(namespace, image, command), JOB_DONE, JOB_FAILED)


def reset_by_janitor() -> Template:
    """NVSentinel's `GPUReset` (janitor.dgxc.nvidia.com/v1alpha1): its Complete condition, or phase Failed."""
    thing = {
        "apiVersion": "janitor.dgxc.nvidia.com/v1alpha1",
        "kind": "GPUReset",
        "spec": {"nodeName": "${node}", "selector": {"uuids": ["${gpu}"]}},
    }
    return Template("gpuresets", thing, (Match("status.phase", "Succeeded"),), (Match("status.phase", "Failed"),))


def reboot_by_janitor() -> Template:
    """NVSentinel's `RebootNode`. Over it is by the node's boot id; a completion with a node NotReady is a failure."""
    thing = {
        "apiVersion": "janitor.dgxc.nvidia.com/v1alpha1",
        "kind": "RebootNode",
        "spec": {"nodeName": "${node}", "force": False},
    }
    done = (Match("status.completionTime"), Match("status.conditions[type=NodeReady].status", "True"))
    return Template("rebootnodes", thing, done, (Match("status.conditions[type=SignalSent].status", "False"),))
