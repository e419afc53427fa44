"""`watchstander completion SHELL`: a completion script made from the argument parser."""

import argparse
import sys

from agent.cli.exit_codes import OK

HELP = "print a shell completion script"
EPILOG = """\
bash   watchstander completion bash > ~/.local/share/bash-completion/completions/watchstander
zsh    watchstander completion zsh > "${fpath[1]}/_watchstander"
tcsh   watchstander completion tcsh > /etc/profile.d/watchstander.completion.csh
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("shell", choices=["bash", "zsh", "tcsh"], help="the shell")


def run(args: argparse.Namespace) -> int:
    """Print it."""
    import shtab

    from agent.cli.main import full_parser

    sys.stdout.write(shtab.complete(full_parser(), shell=args.shell) + "\n")
    return OK
