"""Templates in files: those that come with Watchstander, by name, and an operator's own, by path."""

from pathlib import Path

import msgspec

from collectors.errors import FixConfiguration
from policies.cluster.template import Template
from policies.plan import StepKind

FOLDER = Path(__file__).parent / "templates"
STEPS = (StepKind.RESET_GPU, StepKind.REBOOT_NODE)


def shipped(kind: StepKind) -> dict[str, Path]:
    """The templates that come with Watchstander for a step: `job`, `janitor`."""
    return {path.name.split(".")[1]: path for path in sorted(FOLDER.glob(f"{kind.value}.*.yaml"))}


def load_template(kind: StepKind, name: str) -> Template:
    """By the name of a shipped one, or the path of a file. FixConfiguration with the file and what is wrong in it."""
    known = shipped(kind)
    path = known.get(name) or Path(name)
    try:
        template = msgspec.yaml.decode(path.read_bytes(), type=Template)
    except OSError as error:
        raise FixConfiguration(
            f"template of {kind.value} {name!r}: {error.strerror or error}; give {' or '.join(known)}, or a file"
        ) from None
    except (msgspec.MsgspecError, ValueError) as error:
        raise FixConfiguration(f"{path}: no template: {' '.join(str(error).split())[:300]}") from None
    check_template(path, template)
    return template


def check_template(path: Path, template: Template) -> None:
    """FixConfiguration for what would only be seen when a step is carried out."""
    missing = [key for key in ("apiVersion", "kind") if not isinstance(template.object.get(key), str)]
    if missing:
        raise FixConfiguration(f"{path}: object: {' and '.join(missing)} is missing")
    if not template.done:
        raise FixConfiguration(f"{path}: done is empty: nothing would tell that it is over")
    if "name" in template.object.get("metadata", {}):
        raise FixConfiguration(f"{path}: object.metadata.name is made from the plan: take it out")
    for match in (*template.done, *template.failed):
        match.holds({})
