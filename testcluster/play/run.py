"""The whole scene, started and ended in order: control plane, nodes, job, agent, fleet."""

import contextlib
import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from policies.model import Mode
from testcluster.commands import write_private
from testcluster.control_plane import ControlPlane
from testcluster.play import scene
from testcluster.play.beside import Beside, Choices, start_beside
from testcluster.play.rights import PEOPLE, grant

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Playground:
    """What runs."""

    plane: ControlPlane
    beside: Beside
    environment: Path
    """A file to be sourced: the command line then finds agent, fleet and cluster."""


@contextlib.contextmanager
def playing(
    folder: Path, chosen: Choices, say: Say = lambda _line: None, *, nodes: int = scene.NODES
) -> Iterator[Playground]:
    """Start everything in an empty folder; all of it is ended and removed with the block.

    WatchError with one line where something cannot be started.
    """
    began = time.monotonic()

    def tell(line: str) -> None:
        say(f"{time.monotonic() - began:5.1f} s  {line}")

    with own_folder(folder), ControlPlane.start(users=PEOPLE) as plane:
        tell(f"control plane at {plane.url}")
        grant(plane.admin, chosen.mode)
        scene.build(plane.admin, nodes)
        tell(f"{nodes} GPU nodes, and job {scene.NAMESPACE}/{scene.JOB} of {scene.PODS} pods with 8 GPUs each")
        beside = start_beside(plane, folder, chosen)
        tell(f"agent in mode {chosen.mode.value} at {beside.url}, and the fleet that plays the nodes")
        for person in PEOPLE:
            write_private(folder / f"{person}.token", plane.token(person))
        environment = folder / "env"
        write_private(environment, _exports(plane, beside))
        yield Playground(plane, beside, environment)


@contextlib.contextmanager
def own_folder(folder: Path) -> Iterator[None]:
    """An empty folder for this user alone, removed however the block ends: Ctrl-C is the usual way, and tokens lie in
    it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _exports(plane: ControlPlane, beside: Beside) -> str:
    said = {
        "XDG_STATE_HOME": str(beside.state),
        "KUBECONFIG": str(plane.kubeconfig()),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
    }
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in said.items())


def instructions(play: Playground, mode: Mode, folder: Path) -> str:
    """What to do now, for the terminal."""
    pods = play.plane.admin.list("Pod", scene.NAMESPACE)
    job = pods[0]["spec"].get("nodeName", scene.node_names()[0])
    lines = [
        "",
        "In another terminal:",
        "",
        f"    . {shlex.quote(str(play.environment))}",
        "    python -m testcluster show                # nodes and pods: where the job runs (or kubectl)",
        f"    watchstander inject xid-79 --node {job} --gpu 3     # a node of the job; --list shows more",
        "    watchstander incident INC-...             # evidence, decisions, every guard's word",
    ]
    if mode is Mode.APPROVE:
        alice = shlex.quote(str(folder / "alice.token"))
        lines += [
            "    watchstander plans                        # what waits for a person",
            f"    watchstander approve PLN-... --token-file {alice}",
        ]
    lines += [
        "    watchstander audit                        # what was decided and done",
        "",
        f"The page: {play.beside.url}  (`watchstander login` prints a link)",
        "Ctrl-C ends it and removes everything. docs/try-it.md is the tour.",
    ]
    return "\n".join(lines)
