"""`watchstander bundle ID`: everything around one incident in one file."""

import argparse
import os
from pathlib import Path
from typing import Any

from agent.cli.client import add_agent_arguments, connect
from agent.cli.exit_codes import OK
from agent.cli.numbers import not_negative

HELP = "write everything around one incident into one file, to be played elsewhere"
EPILOG = """\
The file holds readings, events, lines of log, findings, decisions and the inventory around the incident; secrets are
masked. `watchstander replay FILE` and `watchstander demo --recording FILE` play it to the same incident, as a replay,
never live. docs/bundle.md describes it.
exit code 1: there is no such incident
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("id", metavar="ID", help="the incident, as `watchstander incidents` names it")
    parser.add_argument("--out", metavar="FILE", type=Path, help="default: ID.zip in this folder")
    parser.add_argument(
        "--rename",
        action="store_true",
        help="replace names of nodes, jobs, pods and namespaces, GPU UUIDs, hosts, addresses and paths, also in lines",
    )
    parser.add_argument("--before", type=not_negative, metavar="SECONDS", help="of history (default 900)")
    parser.add_argument("--after", type=not_negative, metavar="SECONDS", help="after its last word (default 60)")
    add_agent_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Fetch it, look at it, say what it holds."""
    from collectors.recording.bundle import Bundle

    client = connect(args)
    path = args.out or Path(f"{Path(args.id).name}.zip")
    query = {
        "before": f"{args.before:g}" if args.before is not None else None,
        "after": f"{args.after:g}" if args.after is not None else None,
        "rename": "true" if args.rename else None,
    }
    size = _fetch(client, f"/v1/incidents/{args.id}/bundle", query, path)
    bundle = Bundle(path)
    seconds = (bundle.end_ns - bundle.start_ns) / 1e9
    print(f"{path}: {bundle.incident}, {seconds:.0f} s, {size / 2**20:.1f} MiB")
    for line in bundle.missing:
        print(f"  not in it: {line}")
    return OK


def _fetch(client: Any, where: str, query: dict[str, str | None], path: Path) -> int:
    """Into a file beside it first: a download that was cut leaves nothing under the name."""
    from collectors.errors import FixConfiguration

    draft = path.with_name(f".{path.name}.part")
    try:
        if path.exists():
            raise FixConfiguration(f"{path}: is there already; name another file with --out")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
            size: int = client.download(where, query, file)
        draft.rename(path)
    except OSError as error:
        raise FixConfiguration(f"{path}: cannot be written ({error.strerror}); name another file with --out") from None
    finally:
        draft.unlink(missing_ok=True)
    return size
