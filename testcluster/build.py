"""Builds the parts of the test cluster from the Go module registry, once: `python -m testcluster build`.

Each part's binaries lie in the cache under the hash of all that decides what they are, so that a second call builds
nothing and another branch with the same pins finds them.
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from collectors.errors import FixConfiguration, RetryLater
from testcluster.locks import exclusive
from testcluster.parts import FLAGS, Part, cache_folder
from testcluster.toolchain import Say, find_go

UNUSED_DAYS = 60
"""Binaries that nobody used for so long are of pins that are gone, and are removed after a build."""


def build(parts: Iterable[Part], say: Say) -> list[Part]:
    """Build those that are not in the cache; gives them. Errors are one line; what Go said stands above it."""
    parts = list(parts)
    made = [part for part in parts if _ensure(part, say)]
    if made:
        _remove_unused({part.built for part in parts}, say)
    return made


def missing(parts: Iterable[Part]) -> list[Part]:
    """Those that a `build` would build."""
    return [part for part in parts if not part.built.is_dir()]


def _ensure(part: Part, say: Say) -> bool:
    if part.built.is_dir():
        os.utime(part.built)
        return False
    with exclusive(cache_folder() / f"{part.name}.lock", say):
        if part.built.is_dir():  # by whoever held the lock
            return False
        go = find_go(part.go_version, say)
        for left in cache_folder().glob(f".building-{part.name}-*"):  # of a build that was killed
            shutil.rmtree(left)
        say(f"{part.title}: building {', '.join(part.commands)} (about {part.seconds} s on two free cores, once)")
        began = time.monotonic()
        half = Path(tempfile.mkdtemp(prefix=f".building-{part.name}-", dir=cache_folder()))
        try:
            run = _Go(go, part, _copied_source(part, half))
            _patch_module(run, part)
            for command, package in part.commands.items():
                run("build", *FLAGS, part.ldflags, "-o", str(half / command), package)
            _copy_files(run, part, half)
            shutil.rmtree(run.folder)
            half.rename(part.built)
        except BaseException:
            shutil.rmtree(half, ignore_errors=True)
            raise
        size = sum((part.built / command).stat().st_size for command in part.commands) / 1e6
        say(f"{part.title}: built in {time.monotonic() - began:.0f} s, {size:.0f} MB")
    return True


def _copied_source(part: Part, half: Path) -> Path:
    """What is built is a copy: minutes are long, and a checkout may change its branch meanwhile."""
    return Path(shutil.copytree(part.source, half / "source"))


def _patch_module(run: "_Go", part: Part) -> None:
    """Where the part asks for replacements: build from a copy of its module that has them."""
    if not part.replaced:
        return
    copy = run.folder / "module"
    shutil.copytree(_module_folder(run, part), copy, copy_function=shutil.copyfile)
    for folder in [copy, *(path for path in copy.rglob("*") if path.is_dir())]:
        folder.chmod(0o755)  # Go keeps its modules read-only
    for name, text, other in part.replaced:
        source = (copy / name).read_text()
        if text not in source:
            raise FixConfiguration(f"{part.title}: {name} of its module holds no {text}; mend testcluster/parts.py")
        (copy / name).write_text(source.replace(text, other))
    run("mod", "edit", f"-replace={part.module}=./{copy.name}")


def _module_folder(run: "_Go", part: Part) -> Path:
    """Where Go keeps the module's files; `download` for what a build has not brought yet."""
    run("mod", "download", part.module)
    return Path(run("list", "-m", "-f", "{{.Dir}}", part.module).strip())


def _copy_files(run: "_Go", part: Part, half: Path) -> None:
    if not part.files:
        return
    module = _module_folder(run, part)
    for folder, pattern in part.files.items():
        base = module / pattern.partition("*")[0].rpartition("/")[0]
        found = [path for path in sorted(module.glob(pattern)) if path.is_file()]
        if not found:
            raise FixConfiguration(f"{part.title}: its module holds no {pattern}; mend testcluster/parts.py")
        for path in found:
            target = half / folder / path.relative_to(base)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())


@dataclass(frozen=True)
class _Go:
    """The `go` command in the folder of a part."""

    command: Path
    part: Part
    folder: Path

    def __call__(self, verb: str, *arguments: str) -> str:
        """What it wrote to standard output; its errors go to the terminal as they come."""
        environment = {
            **os.environ,
            "CGO_ENABLED": "0",
            "GOFLAGS": "-mod=readonly -buildvcs=false",  # the pins are the law; whatever the user set is not
            "GOTOOLCHAIN": "local",  # never fetch another toolchain
            "GOWORK": "off",
        }
        done = subprocess.run(
            [str(self.command), verb, *arguments],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RetryLater(
                f"{self.part.title}: `go {verb}` failed, its own words stand above; the first time it needs a Go "
                f"module proxy (GOPROXY), always up to 8 GB of disk for Go's caches and 3 GB of memory"
            )
        return done.stdout


def _remove_unused(kept: set[Path], say: Say) -> None:
    oldest = time.time() - UNUSED_DAYS * 86_400
    for folder in cache_folder().iterdir():
        if folder.is_dir() and folder not in kept and folder.stat().st_mtime < oldest:
            say(f"removing {folder.name}: not used for {UNUSED_DAYS} days")
            shutil.rmtree(folder, ignore_errors=True)
