"""What the tests about the project itself look at: the files that git tracks."""

import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("collectors", "detectors", "policies", "agent")


@cache
def tracked() -> tuple[Path, ...]:
    """Every tracked file that is there, relative to the root."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return tuple(Path(name) for name in listed.split("\0") if name and (ROOT / name).is_file())


def text_of(path: Path) -> str | None:
    """The text of a tracked file; None where it is none (a picture, a recording)."""
    try:
        return (ROOT / path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


def python_files(*folders: str) -> list[Path]:
    """Tracked Python files under these folders, all of them where none is named."""
    return [path for path in tracked() if path.suffix == ".py" and (not folders or path.parts[0] in folders)]
