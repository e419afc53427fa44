"""How many GPUs the jobs hold that an incident touches, as the watch knows while it lasts."""

from collections.abc import Iterable, Mapping

from collectors.model import SubjectKind
from detectors.model import Finding, Inventory
from detectors.view import Jobs


def gpus_of_jobs(
    findings: Iterable[Finding], jobs: Jobs, inventory: Inventory, before: Mapping[str, int]
) -> dict[str, int]:
    """GPUs of each job by the job's name, never fewer than `before`: a job that died has let go of its GPUs since.

    A job whose GPUs nobody has told is left out: unknown is not none.
    """
    found = dict(before)
    for finding in findings:
        about = (finding.subject, *finding.related)
        job = next((subject for subject in about if subject.kind is SubjectKind.JOB), None)
        job = job or inventory.job_of(finding.subject)
        index = jobs.find(job) if job is not None else None
        if job is None or index is None or index >= len(jobs.members):
            continue
        name = inventory.name_of(job)
        held = len(jobs.members[index])
        if held:
            found[name] = max(found.get(name, 0), held)
    return found
