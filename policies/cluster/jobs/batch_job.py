"""batch/v1 Job, plain or Indexed.

The Job controller takes its finalizer off the pods of a suspended Job before it deletes them, so that they are never
counted as failed: a Job with `backoffLimit: 0` survives.
"""

from policies.cluster.client import Json
from policies.cluster.jobs.gang import Gang, condition


def over(job: Json) -> str:
    """A finished Job is never started again by its controller."""
    return condition(job, "Complete", "Failed", "FailureTarget", "SuccessCriteriaMet")


def wanted(job: Json) -> int:
    """Pods that run when whole: parallelism, or as many as are still to complete."""
    spec = job.get("spec", {})
    parallelism = int(spec.get("parallelism", 1))
    if spec.get("completions") is None:
        return parallelism
    return max(0, min(parallelism, int(spec["completions"]) - int(job.get("status", {}).get("succeeded") or 0)))


BATCH_JOB = Gang(
    api_version="batch/v1",
    kind="Job",
    plural="jobs",
    selector=lambda job: f"batch.kubernetes.io/controller-uid={job['metadata']['uid']}",
    over=over,
    wanted=wanted,
)
