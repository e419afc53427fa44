"""Kinds of jobs whose restart follows their API's contract and was never tried with a running controller here.

Off by default: an operator names them in `ActSettings.unproven` after trying them. Sources: training-operator v1
and mpi-operator v2beta1 `RunPolicy.suspend`; KubeRay `RayJobSpec.suspend`; Volcano bus v1alpha1 `Command` with action
RestartJob.
"""

from policies.cluster.client import Conflicted, Json, path_of
from policies.cluster.jobs.gang import AGAIN_SECONDS, Gang, Switch, condition
from policies.cluster.look import Look, done, failed, remember, running, skipped
from policies.cluster.marks import object_name
from policies.cluster.targets import gone, read
from policies.journal import Progress
from policies.plan import Target


def operator_over(job: Json) -> str:
    """As the conditions of training-operator and mpi-operator say."""
    return condition(job, "Succeeded", "Failed")


def ray_over(job: Json) -> str:
    """KubeRay tells it by a phase."""
    status = job.get("status", {}).get("jobDeploymentStatus", "")
    return status if status in ("Complete", "Failed") else ""


def _of_operator(kind: str, api_version: str = "kubeflow.org/v1") -> Gang:
    return Gang(
        api_version=api_version,
        kind=kind,
        plural=f"{kind.lower()}s",
        selector=lambda job: f"training.kubeflow.org/job-name={job['metadata']['name']}",
        over=operator_over,
        switch=Switch(("spec", "runPolicy", "suspend"), off=True),
        proven=False,
    )


OPERATOR_JOBS = (
    *(_of_operator(kind) for kind in ("PyTorchJob", "TFJob", "XGBoostJob", "JAXJob")),
    _of_operator("MPIJob", "kubeflow.org/v2beta1"),
)
RAY_JOB = Gang(
    api_version="ray.io/v1",
    kind="RayJob",
    plural="rayjobs",
    selector=lambda job: f"ray.io/cluster={job.get('status', {}).get('rayClusterName', '')}",
    over=ray_over,
    proven=False,
)

VOLCANO_API, VOLCANO_PLURAL = "batch.volcano.sh/v1alpha1", "jobs"
VOLCANO = "Job.volcano"
"""Its kind is called Job too."""


def volcano_command(target: Target, name: str) -> Json:
    """The object that has Volcano's controller restart a Job: all its pods end, then new ones are made."""
    owner = {"apiVersion": target.api_version, "kind": "Job", "name": target.name, "uid": target.uid}
    return {
        "apiVersion": "bus.volcano.sh/v1alpha1",
        "kind": "Command",
        "metadata": {"name": name, "namespace": target.namespace, "ownerReferences": [{**owner, "controller": True}]},
        "action": "RestartJob",
        "target": {**owner, "controller": True},
        "reason": "Watchstander",
    }


def advance_volcano(look: Look) -> Progress:
    """Post the command; the Job's own version, which counts its restarts, says whether that has been done."""
    target = look.step.target
    job = read(look.client, target, VOLCANO_PLURAL)
    if job is None:
        return skipped(gone(look))
    status = job.get("status", {})
    phase, version = status.get("state", {}).get("phase", ""), str(status.get("version", 0))
    if phase in ("Completed", "Terminated"):
        return failed(f"{target} is {phase}: what has ended cannot be restarted; create it anew")
    if "version" not in look.memo:
        # Volcano deletes a Command once it has carried it out, so its name alone does not tell.
        return remember({"began": str(look.now_ns), "version": version}, f"{target}: Volcano is to restart it")
    if version != look.memo["version"]:
        return done(f"{target}: restarted by Volcano, version {version}")
    command = volcano_command(target, object_name(look.plan, look.index))
    try:
        look.client.post(path_of("bus.volcano.sh/v1alpha1", "commands", target.namespace), command)
    except Conflicted:
        return running(f"{target}: Volcano has been asked to restart it", AGAIN_SECONDS)
    return running(f"{target}: Volcano is asked to restart it", AGAIN_SECONDS, changed=True)


def verify_volcano(look: Look) -> Progress:
    """Volcano's own word on the Job."""
    job = read(look.client, look.step.target, VOLCANO_PLURAL)
    if job is None:
        return skipped(gone(look))
    phase = job.get("status", {}).get("state", {}).get("phase", "unknown")
    return done(f"{look.step.target} is {phase}")
