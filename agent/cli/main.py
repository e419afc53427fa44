"""The `watchstander` command: finds the commands, parses, runs one, and turns errors into one line and a code.

A command is a module in `agent/cli/commands`, named as the command (underscores for dashes), with

- `HELP: str`, one line (a plain string literal: it is read without importing the module),
- `add_arguments(parser)`,
- `run(args) -> int`,
- and, if it likes, `EPILOG: str`, shown under its help.

Only the command that was asked for is imported, and heavy packages only inside its `run`: `collect` on a node loads
neither numpy nor rich. tests/agent/cli/test_cli_lazy_imports.py holds that.
"""

import argparse
import ast
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn, Protocol, cast

from agent.api.words import plain
from agent.cli.exit_codes import FIX_CONFIGURATION, INTERRUPTED, PIPE_CLOSED, USAGE, exit_code
from collectors.errors import WatchError

COMMANDS_FOLDER = Path(__file__).parent / "commands"
OUR_PACKAGES = frozenset({"collectors", "detectors", "policies", "agent"})
ADVISOR_PACKAGES = frozenset({"langchain", "langchain_core"})
DESCRIPTION = "Stands the watch over GPU clusters: finds faults in hardware and training jobs, explains them."


class Command(Protocol):
    """What a module in `agent/cli/commands` offers."""

    HELP: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare its options."""
        ...

    def run(self, args: argparse.Namespace) -> int:
        """Do it; the exit code."""
        ...


class Parser(argparse.ArgumentParser):
    """argparse with our one-line errors."""

    def error(self, message: str) -> NoReturn:
        """One line on stderr, then exit code 2."""
        complain(f"{message} (see `{self.prog} --help`)")
        raise SystemExit(USAGE)


def complain(message: str) -> None:
    """One line on stderr, whatever the message holds."""
    print(f"watchstander: {plain(message)}", file=sys.stderr)


def command_files() -> dict[str, Path]:
    """Every command by name, in alphabetical order."""
    files = sorted(path for path in COMMANDS_FOLDER.glob("*.py") if not path.stem.startswith("_"))
    return {path.stem.replace("_", "-"): path for path in files}


def help_line(path: Path) -> str:
    """A command's HELP, read from its source so that `watchstander --help` imports none of them."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and target.id == "HELP":
            value = getattr(node, "value", None)
            return str(ast.literal_eval(value)) if value is not None else ""
    return ""


def load(name: str) -> Command:
    """Import one command's module."""
    return cast("Command", importlib.import_module(f"agent.cli.commands.{name.replace('-', '_')}"))


def build_parser(loaded: Callable[[str], bool]) -> argparse.ArgumentParser:
    """The argument parser; options only of the commands for which `loaded(name)` holds, the others by name alone."""
    parser = Parser(prog="watchstander", description=DESCRIPTION, allow_abbrev=False, formatter_class=_formatter)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, title="commands")
    for name, path in command_files().items():
        about = help_line(path)
        described = about[:1].upper() + about[1:]
        child = commands.add_parser(
            name,
            help=about.replace("%", "%%"),
            description=described.replace("%", "%%"),
            allow_abbrev=False,
            formatter_class=_formatter,
        )
        if loaded(name):
            module = load(name)
            child.epilog = getattr(module, "EPILOG", None)
            module.add_arguments(child)
            child.set_defaults(run=module.run)
    return parser


def _formatter(prog: str) -> argparse.HelpFormatter:
    """Keeps line breaks of epilogs, and a command and its help on one line."""
    return argparse.RawDescriptionHelpFormatter(prog, max_help_position=32)


def full_parser() -> argparse.ArgumentParser:
    """Every command with every option: for shell completion and for the check of docs/cli.md."""
    return build_parser(lambda _name: True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (agent/cli/exit_codes.py) and raises nothing on purpose."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    wanted = next((word for word in arguments if not word.startswith("-")), "")
    try:
        if arguments == ["--version"]:
            arguments, wanted = ["version"], "version"
        code = _run(arguments, wanted)
        # A reader that went away shows only when the buffer is written: here, not at the interpreter's end.
        sys.stdout.flush()
    except BrokenPipeError:
        # Nothing more can be said on this stream; the interpreter would otherwise complain while closing it.
        _close_output()
        return PIPE_CLOSED
    except OSError as error:
        # A full disk under the output, a folder without rights: the machine's word, not a fault of ours.
        where = "standard output" if error.filename is None else error.filename
        complain(f"{where}: {error.strerror or error}; mend that, or name another")
        if error.filename is None:
            _close_output()
        return FIX_CONFIGURATION
    except KeyboardInterrupt:
        return INTERRUPTED
    return code


def _close_output() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(arguments: list[str], wanted: str) -> int:
    try:
        if wanted and wanted not in command_files():
            complain(_unknown(wanted))
            return USAGE
        args = build_parser(lambda name: name == wanted).parse_args(arguments)
        run: Callable[[argparse.Namespace], int] = args.run
        return run(args)
    except SystemExit as leaving:  # argparse: --help and errors
        return leaving.code if isinstance(leaving.code, int) else 0
    except WatchError as error:
        complain(str(error))
        return exit_code(error)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if not package or package in OUR_PACKAGES:
            raise
        extra = "advisor" if package in ADVISOR_PACKAGES else "agent"
        complain(
            f"{wanted} needs the {extra} extra: pip install 'watchstander[{extra}]' ({package} is not installed)",
        )
        return FIX_CONFIGURATION


def _unknown(wanted: str) -> str:
    from difflib import get_close_matches  # only for a mistyped command

    near = get_close_matches(wanted, command_files(), n=1)
    hint = f"did you mean {near[0]}?" if near else "`watchstander --help` lists them"
    return f"no such command: {wanted[:60]}; {hint}"


if __name__ == "__main__":
    sys.exit(main())
