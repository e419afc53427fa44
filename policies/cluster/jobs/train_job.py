"""Kubeflow TrainJob (trainer v2): hands its `suspend` on to the JobSet of its name, whose pods are the gang."""

from policies.cluster.client import Json
from policies.cluster.jobs.gang import Gang, condition


def over(job: Json) -> str:
    """A finished TrainJob is never started again."""
    return condition(job, "Complete", "Failed")


TRAIN_JOB = Gang(
    api_version="trainer.kubeflow.org/v1alpha1",
    kind="TrainJob",
    plural="trainjobs",
    selector=lambda job: f"jobset.sigs.k8s.io/jobset-name={job['metadata']['name']}",
    over=over,
)
