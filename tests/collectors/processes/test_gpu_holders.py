"""Who holds a GPU: found from its processes, kept for two minutes after them, unknown where they do not say."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from fake_proc_tree import OTHER_UID, UID, FakeProc
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.gpu.nvml_words import GpuProcess
from collectors.model import Subject, SubjectKind
from collectors.processes.followed import FollowedLog, FollowedLogs, follow
from collectors.processes.holders import LINGER_NS, SETTLED_NS, SHARED_NS, GpuHolders
from collectors.processes.pod_folders import PodFolders
from collectors.processes.proc import Proc

SECOND = 10**9
T0 = 1_800_000_000 * SECOND
GPUS = [Subject("c", SubjectKind.GPU, f"GPU-{index}") for index in range(8)]


class Node:
    """A node's /proc, its log folders, and the holders of its GPUs."""

    def __init__(self, proc: FakeProc, tmp_path: Path, job: str = "") -> None:
        self.proc = proc
        self.pod_logs = tmp_path / "pods"
        self.followed: list[FollowedLog] = []
        self.job = job
        self.restart()

    def restart(self) -> None:
        self.holders = GpuHolders(Proc(self.proc.root), PodFolders(str(self.pod_logs)), self.job)

    def log(self, uid: str, name: str = "llama-0", container: str = "main") -> str:
        """The kubelet makes the folder of a container's log."""
        path = self.pod_logs / f"train_{name}_{uid}" / container / "0.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
        return str(path)

    def follow(self, path: str, job: str) -> None:
        status = Path(path).stat()
        followed = follow(job, path, (status.st_dev, status.st_ino))
        assert followed is not None
        self.followed.append(followed)

    def see(self, now_s: float, *pids: Iterable[int] | None) -> list[dict[str, str]]:
        """One look: the processes on GPU 0, on GPU 1 ..."""
        self.holders.update(
            {
                gpu: None if listed is None else tuple(GpuProcess(pid, 2**30) for pid in listed)
                for gpu, listed in zip(GPUS, pids)
            },
            FollowedLogs(self.followed),
            T0 + int(now_s * SECOND),
        )
        return [self.holders.attributes(gpu) for gpu, _ in zip(GPUS, pids)]

    def ranks(self, now_s: float, *pids: Iterable[int] | None) -> list[str | None]:
        return [one.get("rank") for one in self.see(now_s, *pids)]

    def jobs(self, now_s: float, *pids: Iterable[int] | None) -> list[str | None]:
        return [one.get("job") for one in self.see(now_s, *pids)]


@pytest.fixture
def node(fake_proc: FakeProc, tmp_path: Path) -> Node:
    return Node(fake_proc, tmp_path)


def test_a_gpu_is_its_processes_pods_and_the_jobs_whose_log_that_pod_writes(node: Node) -> None:
    node.follow(node.log(UID), "{namespace}/{pod_base}")
    node.proc.in_pod(40, env={"RANK": "3", "WORLD_SIZE": "8"})
    assert node.see(0, [40], []) == [
        {
            "pod_uid": UID,
            "namespace": "train",
            "pod": "llama-0",
            "container": "main",
            "pid": "40",
            "job": "train/llama",
            "rank": "3",
        },
        {},
    ]
    assert node.holders.world_sizes() == {"train/llama": 8}


def test_a_pod_whose_log_is_not_followed_is_named_and_has_no_job(node: Node) -> None:
    node.log(UID)
    node.proc.in_pod(40)
    assert node.see(0, [40]) == [
        {"pod_uid": UID, "namespace": "train", "pod": "llama-0", "container": "main", "pid": "40"}
    ]


def test_a_pod_that_no_folder_names_is_known_by_its_uid_and_named_once_it_has_one(node: Node) -> None:
    node.proc.in_pod(40)
    assert node.see(0, [40]) == [{"pod_uid": UID, "pid": "40"}]
    node.log(UID)
    assert node.see(10, [40])[0]["pod"] == "llama-0"


def test_containers_are_told_apart_by_their_links(node: Node) -> None:
    for name, container in (("main", "a"), ("sidecar", "b")):
        path = node.log(UID, container=name)
        link = node.pod_logs.parent / "containers" / f"llama-0_train_{name}-{64 * container}.log"
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(path)
        node.follow(path, "{pod_base}-{container}")
    node.proc.in_pod(40, container="a")
    node.proc.in_pod(41, container="b")
    assert node.jobs(0, [40], [41]) == ["llama-main", "llama-sidecar"]


def test_where_the_container_is_unclear_two_jobs_of_one_pod_are_none(node: Node) -> None:
    for name in ("main", "sidecar"):
        node.follow(node.log(UID, container=name), "{pod_base}-{container}")
    node.proc.in_pod(40)
    assert node.jobs(0, [40]) == [None]


def test_the_job_stays_while_the_log_is_rotated(node: Node) -> None:
    node.follow(node.log(UID), "llama")
    node.proc.in_pod(40)
    assert node.jobs(0, [40]) == ["llama"]
    node.followed.clear()
    assert node.jobs(5, [40]) == ["llama"]


def test_a_process_that_has_gone_leaves_its_gpu_to_its_job_for_two_minutes(node: Node) -> None:
    node.follow(node.log(UID), "llama")
    node.proc.in_pod(40, env={"RANK": "3"})
    [before] = node.see(0, [40])
    node.proc.end(40)
    gone = LINGER_NS / SECOND
    assert [node.see(5, []), node.see(5 + gone - 1, [])] == [[before], [before]]
    assert node.see(5 + gone, []) == [{}]


def test_another_pods_process_takes_over_at_once(node: Node) -> None:
    node.follow(node.log(UID), "llama")
    node.follow(node.log(OTHER_UID, "gpt-0"), "gpt")
    node.proc.in_pod(40, env={"RANK": "3"})
    node.proc.in_pod(41, uid=OTHER_UID)
    assert node.jobs(0, [40]) == ["llama"]
    [taken] = node.see(5, [41])
    assert (taken["job"], taken.get("rank")) == ("gpt", None)


def test_a_process_that_belongs_to_nobody_takes_nothing_over(node: Node) -> None:
    node.follow(node.log(UID), "llama")
    node.proc.in_pod(40, env={"RANK": "3"})
    node.proc.start(50, comm="dcgmproftester")
    before = node.see(0, [40])
    assert node.see(5, [50]) == before
    assert node.see(10, [40, 50]) == before


def test_a_rank_that_crashed_keeps_its_rank_beside_strangers_of_its_own_pod(node: Node) -> None:
    node.follow(node.log(UID), "llama")
    node.proc.in_pod(40, env={"RANK": "0"})
    node.proc.in_pod(41)
    assert node.ranks(0, [40, 41]) == ["0"]
    assert node.ranks(5, [41]) == ["0"]
    assert node.jobs(5 + LINGER_NS / SECOND, [41]) == ["llama"]
    assert node.ranks(6 + LINGER_NS / SECOND, [41]) == [None]


def test_a_restarted_rank_takes_over_at_once(node: Node) -> None:
    node.follow(node.log(UID), "llama")
    node.proc.in_pod(40, env={"RANK": "0"})
    assert node.ranks(0, [40]) == ["0"]
    node.proc.in_pod(41, env={"RANK": "5"})
    assert [(one["pid"], one["rank"]) for one in node.see(5, [41])] == [("41", "5")]


def test_a_number_given_out_again_is_read_anew(node: Node) -> None:
    node.follow(node.log(UID), "llama")
    node.follow(node.log(OTHER_UID, "gpt-0"), "gpt")
    node.proc.in_pod(40, env={"RANK": "0"})
    node.see(0, [40])
    node.proc.in_pod(40, uid=OTHER_UID, env={"RANK": "7"}, ticks=2000)
    assert [(one["job"], one["rank"]) for one in node.see(5, [40])] == [("gpt", "7")]


def test_while_nvml_says_nothing_the_holder_stays_as_long_as_its_process(node: Node) -> None:
    node.follow(node.log(UID), "llama")
    node.proc.in_pod(40)
    assert node.jobs(0, [40]) == ["llama"]
    assert node.jobs(10 * LINGER_NS / SECOND, None) == ["llama"]
    node.proc.end(40)
    assert node.jobs(11 * LINGER_NS / SECOND, None) == ["llama"]
    assert node.jobs(12 * LINGER_NS / SECOND, None) == [None]


def test_a_clock_set_back_begins_the_two_minutes_anew(node: Node) -> None:
    node.follow(node.log(UID), "llama")
    node.proc.in_pod(40)
    node.see(1000, [40])
    node.see(1000, [])
    assert node.jobs(0, []) == ["llama"]
    assert node.jobs(LINGER_NS / SECOND - 1, []) == ["llama"]
    assert node.jobs(LINGER_NS / SECOND, []) == [None]


def test_a_shared_gpu_names_its_pods_and_no_job(node: Node) -> None:
    node.follow(node.log(UID), "llama")
    node.log(OTHER_UID, "gpt-0")
    node.proc.in_pod(40, env={"RANK": "3"})
    node.proc.in_pod(41, uid=OTHER_UID)
    assert node.see(0, [41, 40]) == [{"pods": "train/llama-0,train/gpt-0"}]


def test_a_health_check_that_comes_and_goes_shares_nothing(node: Node) -> None:
    node.follow(node.log(UID), "llama")
    node.proc.in_pod(40)
    node.proc.in_pod(41, uid=OTHER_UID)
    for now in (0, 100):
        assert node.jobs(now, [40]) == ["llama"]
        assert node.jobs(now + 5, [40, 41]) == ["llama"]
        assert node.jobs(now + 4 + SHARED_NS / SECOND, [40, 41]) == ["llama"]
    assert node.jobs(105 + SHARED_NS / SECOND, [40, 41]) == [None]
    assert node.jobs(200, [40]) == ["llama"]


def test_the_server_of_mps_shares_nothing(node: Node) -> None:
    node.follow(node.log(UID), "llama")
    node.proc.in_pod(40)
    node.proc.in_pod(41, uid=OTHER_UID, comm="nvidia-cuda-mps")
    assert node.jobs(0, [40, 41]) == ["llama"]


def test_contexts_of_all_ranks_on_one_gpu_leave_it_to_the_rank_that_has_no_other(node: Node) -> None:
    node.follow(node.log(UID), "llama")
    for rank in range(4):
        node.proc.in_pod(40 + rank, env={"RANK": str(rank)})
    assert node.ranks(0, [40, 41, 42, 43], [41], [42], [43]) == ["0", "1", "2", "3"]


def test_two_ranks_that_have_nothing_but_one_gpu_leave_its_rank_unknown(node: Node) -> None:
    node.follow(node.log(UID), "llama")
    for rank in range(2):
        node.proc.in_pod(40 + rank, env={"RANK": str(rank)})
    [shared] = node.see(0, [40, 41])
    assert (shared["job"], shared.get("rank"), shared.get("pid")) == ("llama", None, None)


def test_one_process_on_several_gpus_is_one_rank(node: Node) -> None:
    node.follow(node.log(UID), "llama")
    node.proc.in_pod(40, env={"RANK": "1"})
    assert node.ranks(0, [40], [40]) == ["1", "1"]


def test_a_rank_is_counted_by_completion_index_once_the_pods_gpus_have_settled(node: Node) -> None:
    node.follow(node.log(UID), "llama")
    for local in range(4):
        env = {"LOCAL_RANK": str(local), "JOB_COMPLETION_INDEX": "2"}
        node.proc.in_pod(40 + local, env=env)
    assert node.ranks(0, [40], [41], [], []) == [None] * 4
    assert node.ranks(5, [40], [41], [42], [43]) == [None] * 4
    settled = 5 + SETTLED_NS / SECOND
    assert node.ranks(settled, [40], [41], [42], [43]) == ["8", "9", "10", "11"]
    node.proc.end(43)
    assert node.ranks(settled + 5, [40], [41], [42], []) == ["8", "9", "10", "11"]


def test_an_environment_that_comes_late_is_read_again(node: Node) -> None:
    node.follow(node.log(UID), "llama")
    node.proc.in_pod(40)
    assert node.ranks(0, [40]) == [None]
    node.proc.in_pod(40, env={"RANK": "3"})
    assert node.ranks(5, [40]) == ["3"]


@pytest.mark.parametrize("level", [0, 1, 5])
def test_outside_pods_the_job_is_that_of_the_log_an_ancestor_writes(node: Node, tmp_path: Path, level: int) -> None:
    log = tmp_path / "train.log"
    log.write_text("")
    node.follow(str(log), "bare")
    for pid in range(40, 46):
        node.proc.start(pid, parent=pid + 1, stdout=str(log) if pid == 40 + level else "/dev/pts/1")
    assert node.jobs(0, [40]) == ["bare"]
    assert node.see(5, [40]) == [{"pid": "40", "job": "bare"}]


def test_a_log_further_up_than_five_levels_is_not_its_log(node: Node, tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    log.write_text("")
    node.follow(str(log), "bare")
    for pid in range(40, 47):
        node.proc.start(pid, parent=pid + 1, stdout=str(log) if pid == 46 else "/dev/pts/1")
    assert node.jobs(0, [40]) == [None]


def test_the_nearest_log_wins_and_the_job_stays_when_the_file_is_rotated(node: Node, tmp_path: Path) -> None:
    for name in ("near", "far"):
        (tmp_path / f"{name}.log").write_text("")
        node.follow(str(tmp_path / f"{name}.log"), name)
    node.proc.start(40, parent=41, stdout=str(tmp_path / "near.log"))
    node.proc.start(41, stdout=str(tmp_path / "far.log"))
    assert node.jobs(0, [40]) == ["near"]
    node.followed = [log for log in node.followed if log.job != "near"]
    assert node.jobs(5, [40]) == ["near"]


def test_two_jobs_that_claim_one_log_file_leave_it_unknown(node: Node, tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    log.write_text("")
    node.proc.start(40, stdout=str(log))
    node.follow(str(log), "one")
    assert node.jobs(0, [40]) == ["one"]
    node.proc.start(41, stdout=str(log))
    other = tmp_path / "other.log"
    other.write_text("")
    node.follow(str(other), "two")
    link = node.proc.root / "41" / "fd" / "2"
    link.unlink()
    link.symlink_to(other)
    assert node.jobs(5, [], [41]) == ["one", None]


def test_a_job_by_settings_is_that_of_all_processes_outside_pods(fake_proc: FakeProc, tmp_path: Path) -> None:
    node = Node(fake_proc, tmp_path, job="bare")
    node.proc.start(40, env={"RANK": "0"})
    node.proc.in_pod(41)
    assert node.jobs(0, [40], [41], []) == ["bare", None, None]


def test_a_log_on_a_shared_folder_names_the_job_of_a_pod_too(node: Node, tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    log.write_text("")
    node.follow(str(log), "shared-folder")
    node.proc.in_pod(40, stdout=str(log))
    assert node.jobs(0, [40]) == ["shared-folder"]


def test_processes_that_proc_does_not_know_hold_nothing(node: Node) -> None:
    assert node.see(0, [0], [999]) == [{}, {}]


def test_a_job_whose_ranks_disagree_on_its_size_has_none(node: Node) -> None:
    node.follow(node.log(UID), "llama")
    node.proc.in_pod(40, env={"RANK": "0", "WORLD_SIZE": "8"})
    node.proc.in_pod(41, env={"RANK": "1", "WORLD_SIZE": "16"})
    node.see(0, [40], [41])
    assert node.holders.world_sizes() == {}


LOOKS = st.lists(
    st.tuples(
        st.integers(1, 60),
        st.lists(st.none() | st.lists(st.integers(40, 45), max_size=3), min_size=3, max_size=3),
        st.none() | st.tuples(st.integers(40, 45), st.integers(0, 3), st.booleans()),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(LOOKS)
def test_whatever_comes_and_goes_a_job_is_told_only_near_a_process_of_its_pod(tmp_path_factory, looks) -> None:
    """At most two minutes after a process of the job's pod was seen on that GPU (or it was alive, NVML silent)."""
    tmp_path = tmp_path_factory.mktemp("node")
    (tmp_path / "proc").mkdir()
    node = Node(FakeProc(tmp_path / "proc"), tmp_path)
    jobs = {UID: "llama", OTHER_UID: "gpt"}
    for uid, job in jobs.items():
        node.follow(node.log(uid, job), job)
    alive: dict[int, str] = {}
    last: dict[tuple[int, str], float] = {}
    now = 0.0
    for ticks, (wait, listed, change) in enumerate(looks):
        now += wait
        if change is not None:
            pid, rank, starts = change
            if starts:
                uid = (UID, OTHER_UID)[rank % 2]
                node.proc.in_pod(pid, uid=uid, env={"RANK": str(rank)}, ticks=1000 + ticks)
                alive[pid] = jobs[uid]
            elif pid in alive:
                node.proc.end(pid)
                del alive[pid]
        told = node.see(now, *listed)
        for place, (pids, attributes) in enumerate(zip(listed, told)):
            for pid in alive if pids is None else pids:
                if pid in alive:
                    last[place, alive[pid]] = now
            job = attributes.get("job")
            if job is not None:
                assert now - last[place, job] < LINGER_NS / SECOND + 60  # and one wait, of the look that noticed it
            here = {alive[pid] for pid in pids or () if pid in alive}
            if len(here) == 1:
                assert job in here
            assert not {"job", "pods"} <= attributes.keys()
