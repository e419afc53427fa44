"""JobSet: its controller suspends and resumes all its Jobs, and spends none of `maxRestarts` on it."""

from policies.cluster.client import Json
from policies.cluster.jobs.gang import Gang, condition


def over(job: Json) -> str:
    """A finished JobSet is never started again."""
    return condition(job, "Completed", "Failed")


def wanted(job: Json) -> int:
    """Pods that run when whole, as long as no replica has completed."""
    replicated = job.get("spec", {}).get("replicatedJobs") or ()
    return sum(
        int(one.get("replicas", 1)) * int(one.get("template", {}).get("spec", {}).get("parallelism", 1))
        for one in replicated
    ) * (not any(one.get("succeeded") for one in job.get("status", {}).get("replicatedJobsStatus") or ()))


JOBSET = Gang(
    api_version="jobset.x-k8s.io/v1alpha2",
    kind="JobSet",
    plural="jobsets",
    selector=lambda job: f"jobset.sigs.k8s.io/jobset-name={job['metadata']['name']}",
    over=over,
    wanted=wanted,
)
