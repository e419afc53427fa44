"""What the test cluster is built of: each part is a Go module of its own under `go/`, pinned by go.mod and go.sum."""

import hashlib
import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from collectors.errors import FixConfiguration

GO_FOLDER = Path(__file__).parent / "go"
FLAGS = ("-trimpath", "-ldflags")
"""`-trimpath` keeps paths of this machine out of the binaries, so that all checkouts share Go's own cache."""


def cache_folder() -> Path:
    """Where binaries and, if need be, the Go toolchain are kept: outside the checkout, shared by all of them."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "watchstander" / "testcluster"


@dataclass(frozen=True)
class Part:
    """One Go module of `go/`, and what is made of it."""

    name: str
    folder: str = ""
    """Under `go/`; empty: the name."""
    module: str = ""
    """The module whose version the binaries bear; empty: our own code, without a version."""
    commands: Mapping[str, str] = field(default_factory=dict)
    """Binary -> Go package; `.` is the folder's own `main`."""
    stamps: tuple[str, ...] = ()
    """`variable=value` for the linker; `{version}`, `{major}` and `{minor}` are filled in."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Folder beside the binaries -> glob in the module, for what is data: stages, CRDs."""
    replaced: tuple[tuple[str, str, str], ...] = ()
    """(file in the module, text, other text): what must differ for it to run here; the module itself stays as it is."""
    seconds: int = 0
    """What it takes, cold, on two free cores, about: for the line that says how long to wait. Controllers share much:
    each is told as the next after those before it in `OPTIONAL`."""

    @property
    def source(self) -> Path:
        """Its folder in the checkout."""
        return GO_FOLDER / (self.folder or self.name)

    @cached_property
    def version(self) -> str:
        """As go.mod pins it, `v1.36.3`; empty where there is none."""
        if not self.module:
            return ""
        text = (self.source / "go.mod").read_text()
        found = re.search(rf"^(?:require\s+|\t){re.escape(self.module)} (v\S+)", text, flags=re.MULTILINE)
        if found is None:
            raise FixConfiguration(f"{self.source / 'go.mod'}: requires no {self.module}; `go mod tidy` there")
        return found[1]

    @cached_property
    def go_version(self) -> tuple[int, ...]:
        """The oldest Go that its go.mod takes, `(1, 26, 0)`."""
        found = re.search(r"^go (\d+(?:\.\d+)+)", (self.source / "go.mod").read_text(), flags=re.MULTILINE)
        return tuple(map(int, found[1].split("."))) if found else ()

    @property
    def ldflags(self) -> str:
        """Without symbol tables (a third of the size), with the stamps."""
        major, minor = [*self.version.removeprefix("v").split("."), "", ""][:2]
        values = {"version": self.version, "major": major, "minor": minor}
        return " ".join(["-s", "-w", *(f"-X {stamp.format(**values)}" for stamp in self.stamps)])

    @cached_property
    def key(self) -> str:
        """Hash of all that decides what is built: the sources and pins, flags, commands, files, and the machine."""
        digest = hashlib.sha256()
        for path in sorted(self.source.rglob("*")):
            if path.is_file():
                digest.update(f"{path.relative_to(self.source)}\0".encode() + path.read_bytes() + b"\0")
        how = (
            FLAGS,
            self.ldflags,
            sorted(self.commands.items()),
            sorted(self.files.items()),
            self.replaced,
            platform.machine(),
        )
        digest.update(repr(how).encode())
        return digest.hexdigest()[:16]

    @property
    def built(self) -> Path:
        """Folder of the binaries in the cache, there once the part is built."""
        return cache_folder() / f"{self.name}-{self.key}"

    @property
    def title(self) -> str:
        """For people."""
        return f"{self.name} {self.version}".strip()


def _kubernetes(*commands: str) -> dict[str, str]:
    return {command: f"k8s.io/kubernetes/cmd/{command}" for command in commands}


KEYS = Part(name="keys", commands={"keys": "."}, seconds=15)
ETCD = Part(name="etcd", module="go.etcd.io/etcd/server/v3", commands={"etcd": "."}, seconds=30)
KWOK = Part(
    name="kwok",
    module="sigs.k8s.io/kwok",
    commands={"kwok": "sigs.k8s.io/kwok/cmd/kwok"},
    files={"stages": "kustomize/stage/**/*.yaml"},
    seconds=80,
)
KUBERNETES = Part(
    name="kubernetes",
    module="k8s.io/kubernetes",
    commands=_kubernetes("kube-apiserver", "kube-controller-manager", "kube-scheduler"),
    # Unstamped, the API server calls itself v0.0.0, and clients that ask for its version stumble.
    stamps=tuple(
        f"k8s.io/component-base/version.{name}={{{value}}}"
        for name, value in (("gitVersion", "version"), ("gitMajor", "major"), ("gitMinor", "minor"))
    ),
    seconds=300,
)
CORE = (KEYS, ETCD, KWOK, KUBERNETES)
"""What every control plane needs."""


JOBSET = Part(
    name="jobset",
    folder="controllers",
    module="sigs.k8s.io/jobset",
    commands={"jobset": "sigs.k8s.io/jobset"},
    files={"crds": "config/components/crd/bases/*.yaml", "webhooks": "config/components/webhook/**/*.yaml"},
    seconds=220,
)
LWS = Part(
    name="lws",
    folder="controllers",
    module="sigs.k8s.io/lws",
    commands={"lws": "sigs.k8s.io/lws/cmd"},
    files={"crds": "config/crd/bases/*.yaml", "webhooks": "config/webhook/**/*.yaml"},
    seconds=30,
)
TRAINER = Part(
    name="trainer",
    folder="controllers",
    module="github.com/kubeflow/trainer/v2",
    commands={"trainer": "github.com/kubeflow/trainer/v2/cmd/trainer-controller-manager"},
    files={"crds": "manifests/base/crds/trainer*.yaml", "webhooks": "manifests/base/webhook/**/*.yaml"},
    seconds=60,
)
KUEUE = Part(
    name="kueue",
    folder="controllers",
    module="sigs.k8s.io/kueue",
    commands={"kueue": "sigs.k8s.io/kueue/cmd/kueue"},
    files={"crds": "config/components/crd/bases/*.yaml", "webhooks": "config/components/webhook/**/*.yaml"},
    # It reads certificates for its metrics from a fixed folder that only root may write to, with metrics off too.
    replaced=(("cmd/kueue/main.go", '"/etc/kueue/metrics/certs"', 'os.Getenv("METRICS_CERTIFICATES")'),),
    seconds=330,
)
OPTIONAL = {part.name: part for part in (JOBSET, TRAINER, LWS, KUEUE)}
"""Controllers by name, for `--with`. One go.mod for all, so that what they share is compiled once."""


def binary(part: Part, command: str) -> Path:
    """Path of a built binary; FixConfiguration where the part was not built."""
    path = part.built / command
    if not path.is_file():
        wanted = f" --with {part.name}" if part.name in OPTIONAL else ""
        raise FixConfiguration(f"{part.title} is not built yet: python -m testcluster build{wanted}")
    return path
