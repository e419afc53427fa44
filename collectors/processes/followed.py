"""The logs that are followed, as ways from a process to its job: by the pod that writes one, by the file it is."""

from collections.abc import Iterable
from dataclasses import dataclass

from collectors.processes.pod_log import PodLog, fill, find_pod_log


@dataclass(frozen=True, slots=True)
class FollowedLog:
    """One file that is followed for a job."""

    path: str
    file: tuple[int, int]
    """Device and inode."""
    job: str
    pod: PodLog | None


def follow(template: str, path: str, file: tuple[int, int]) -> FollowedLog | None:
    """A file that the settings name a job for; None where the template asks for what the file's path does not say."""
    pod = find_pod_log(path)
    job = fill(template, pod)
    return FollowedLog(path, file, job, pod) if job else None


class FollowedLogs:
    """All of them at one moment."""

    def __init__(self, logs: Iterable[FollowedLog]) -> None:
        self.file_names: set[str] = set()
        """The last parts of their paths."""
        self._by_pod: dict[str, list[FollowedLog]] = {}
        self._by_file: dict[tuple[int, int], str] = {}
        for log in logs:
            self.file_names.add(log.path.rpartition("/")[2])
            self._by_file[log.file] = log.job
            if log.pod is not None:
                self._by_pod.setdefault(log.pod.uid, []).append(log)

    def job_of_pod(self, uid: str, container: str | None) -> str | None:
        """The job that the container's logs are followed for, else the pod's; None where that is none or several."""
        logs = self._by_pod.get(uid, [])
        own = {log.job for log in logs if log.pod is not None and log.pod.container == container}
        jobs = own or {log.job for log in logs}
        return jobs.pop() if len(jobs) == 1 else None

    def job_of_files(self, files: Iterable[tuple[int, int]]) -> str | None:
        """The job that one of these files is followed for; None where that is none or several."""
        jobs = {self._by_file[file] for file in files if file in self._by_file}
        return jobs.pop() if len(jobs) == 1 else None

    def pod_name(self, uid: str) -> tuple[str, str] | None:
        """Namespace and name of a pod whose log is followed."""
        for log in self._by_pod.get(uid, ()):
            if log.pod is not None:
                return log.pod.namespace, log.pod.pod
        return None
