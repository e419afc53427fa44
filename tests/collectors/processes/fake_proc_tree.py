"""A /proc made of files, as the kernel writes them, and the processes in it."""

from pathlib import Path

UID = "1b9c2f3e-0d5a-4c1e-9f60-7a2b3c4d5e6f"
OTHER_UID = "2b9c2f3e-0d5a-4c1e-9f60-7a2b3c4d5e6f"


class FakeProc:
    """Processes in a folder; each is there from `start` to `end`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def start(
        self,
        pid: int,
        *,
        cgroup: str = "0::/user.slice\n",
        env: dict[str, str] | None = None,
        ticks: int = 1000,
        parent: int = 1,
        comm: str = "python3",
        state: str = "S",
        stdout: str = "/dev/null",
    ) -> None:
        """Start a process, in the place of whatever bore the number before."""
        folder = self.root / str(pid)
        (folder / "fd").mkdir(parents=True, exist_ok=True)
        (folder / "stat").write_text(f"{pid} ({comm}) {state} {parent} {'0 ' * 17}{ticks} 0 0\n")
        (folder / "cgroup").write_text(cgroup)
        (folder / "environ").write_bytes(b"".join(f"{k}={v}\0".encode() for k, v in (env or {}).items()))
        for number in ("1", "2"):
            link = folder / "fd" / number
            link.unlink(missing_ok=True)
            link.symlink_to(stdout)

    def in_pod(self, pid: int, uid: str = UID, container: str = "a", **more: object) -> None:
        """Start a process in a pod."""
        path = f"/kubepods.slice/kubepods-burstable-pod{uid.replace('-', '_')}.slice/cri-containerd-{64 * container}"
        self.start(pid, cgroup=f"0::{path}.scope\n", **more)

    def end(self, pid: int) -> None:
        """The process is gone."""
        folder = self.root / str(pid)
        for path in sorted(folder.rglob("*"), reverse=True):
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            else:
                path.unlink()
        folder.rmdir()
