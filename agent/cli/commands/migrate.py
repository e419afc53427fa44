"""`watchstander migrate`: bring a store up to this version without starting the agent."""

import argparse

HELP = "bring a store's tables up to this version, or only say which version it has (--check)"
EPILOG = """\
The agent does the same when it starts. Stop it first: a store on SQLite has one owner at a time.

examples:
  watchstander migrate sqlite:///var/lib/watchstander/store.db
  watchstander migrate --check postgresql://watch@db.example.org/watchstander"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its options."""
    parser.add_argument("url", help="sqlite:///path/to/file or postgresql://user@host/database")
    parser.add_argument(
        "--check", action="store_true", help="change nothing; fail when the store is missing, older or newer"
    )


def run(args: argparse.Namespace) -> int:
    """Migrate, or check; every problem is raised as one line."""
    from agent.store.schema import HEAD  # SQL packages, for this command only
    from agent.store.store import open_store

    store = open_store(args.url, create=not args.check)
    before = store.revision_before
    store.close()
    if before == HEAD:
        print(f"store {store.name} is at revision {HEAD}: nothing to do")
    else:
        print(f"store {store.name} brought from {f'revision {before}' if before else 'empty'} to {HEAD}")
    return 0
