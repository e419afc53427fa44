"""The checkpoint: how far the ingest log has been worked through and its results stored.

After a restart, what the log still holds goes through the watch again, with the times at which it came. What the watch
said up to the checkpoint is stored already and dropped; what it says after it is stored, under the same ids as before.
"""

import os
from pathlib import Path

import msgspec

from collectors.errors import FixConfiguration

_VERSION = 1


class Checkpoint(msgspec.Struct, frozen=True):
    """Everything before `position`, and every tick up to `ticked_ns`, is in the store."""

    position: int = 0
    """In the ingest log."""
    ticked_ns: dict[str, int] = {}
    """Cluster (`agent.server.spaces.name_of`) to the time of its live watch's last tick that is stored, Unix ns."""
    seen: bytes = b""
    """`agent.ingest.dedupe.Seen.dump`, of this moment or later."""
    version: int = _VERSION


def load_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint in `path`; an empty one where there is none yet. FixConfiguration where it cannot be read."""
    try:
        checkpoint = msgspec.msgpack.decode(path.read_bytes(), type=Checkpoint)
    except FileNotFoundError:
        return Checkpoint()
    except (OSError, msgspec.DecodeError) as error:
        raise FixConfiguration(
            f"checkpoint {path}: {error}; move it away to work through the whole ingest log again"
        ) from None
    if checkpoint.version != _VERSION:
        raise FixConfiguration(f"checkpoint {path}: of another version ({checkpoint.version}); run that one")
    return checkpoint


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Replace the file in one step, flushed to disk; OSError where that fails: the old one then stays."""
    draft = path.with_name(path.name + ".new")
    file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        block = memoryview(msgspec.msgpack.encode(checkpoint))
        while block:
            block = block[os.write(file, block) :]
        os.fsync(file)
    finally:
        os.close(file)
    draft.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
