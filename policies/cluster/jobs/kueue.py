"""Jobs that Kueue admits. Their `suspend` is Kueue's to turn, so the switch is `active` of the job's Workload: switched
off, Kueue evicts the gang and gives its quota back; switched on, it queues it again and admits it when there is room.
"""

from collectors.errors import RetryLater
from policies.cluster.client import Json, KubeClient, NotThere, path_of
from policies.cluster.jobs.gang import Switch
from policies.cluster.marks import labels

API_VERSION = "kueue.x-k8s.io/v1beta2"
QUEUE = "kueue.x-k8s.io/queue-name"
JOB_UID = "kueue.x-k8s.io/job-uid"
"""Label of a Workload."""
ACTIVE = Switch(("spec", "active"), off=False)


def workload_of(client: KubeClient, job: Json, namespace: str) -> Json | None:
    """The job's Workload; None: Kueue does not manage this job, or is not there at all.

    RetryLater where the job is in a queue and Kueue has not made its Workload yet.
    """
    query = {"labelSelector": f"{JOB_UID}={job['metadata']['uid']}"}
    try:
        found = list(client.get(path_of(API_VERSION, "workloads", namespace), query).get("items") or ())
    except NotThere:
        return None
    if found:
        return dict(found[0])
    if QUEUE in labels(job):
        raise RetryLater(f"{job['metadata']['name']}: is in queue {labels(job)[QUEUE]!r}, and has no Workload yet")
    return None


def path_of_workload(workload: Json) -> str:
    """Where it is patched."""
    metadata = workload["metadata"]
    return path_of(API_VERSION, "workloads", metadata["namespace"], metadata["name"])
