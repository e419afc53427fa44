import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent.cli import main as main_module
from agent.cli.exit_codes import exit_code
from agent.cli.main import command_files, help_line, main
from collectors.errors import FixConfiguration, GiveUp, RetryLater, WatchError

pytestmark = pytest.mark.slow

COMMAND = """\
HELP: str = "fails as it is told to"

def add_arguments(parser):
    parser.add_argument("how")

def run(args):
    from collectors import errors
    if args.how == "extra":
        import sqlmodel_that_is_not_there
    if args.how == "advisor":
        raise ModuleNotFoundError("no langchain", name="langchain_core.tools")
    if args.how == "ours":
        import agent.not_written
    if args.how == "machine":
        open("/nonexistent/file")
    if args.how == "interrupt":
        raise KeyboardInterrupt
    if args.how in vars(errors):
        raise vars(errors)[args.how]("node n7: spool is full;\\n\\x1b[2Jmake room")
    print("done " + args.how)
    return 0
"""


NEEDS = (
    "watchstander: fails-at needs the {extra} extra: pip install 'watchstander[{extra}]' ({package} is not installed)\n"
)


@pytest.fixture
def failing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command `fails-at` beside which there is no other."""
    (tmp_path / "fails_at.py").write_text(COMMAND)
    monkeypatch.setattr(main_module, "COMMANDS_FOLDER", tmp_path)
    monkeypatch.setattr("agent.cli.commands.__path__", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "agent.cli.commands.fails_at", raising=False)


@pytest.mark.parametrize(
    ("how", "code", "line"),
    [
        ("FixConfiguration", 3, "watchstander: node n7: spool is full; make room\n"),
        ("RetryLater", 4, "watchstander: node n7: spool is full; make room\n"),
        ("GiveUp", 5, "watchstander: node n7: spool is full; make room\n"),
        ("WatchError", 5, "watchstander: node n7: spool is full; make room\n"),
        ("interrupt", 130, ""),
        ("machine", 3, "watchstander: /nonexistent/file: No such file or directory; mend that, or name another\n"),
        (
            "extra",
            3,
            NEEDS.format(extra="agent", package="sqlmodel_that_is_not_there"),
        ),
        (
            "advisor",
            3,
            NEEDS.format(extra="advisor", package="langchain_core"),
        ),
    ],
)
@pytest.mark.usefixtures("failing")
def test_an_error_is_one_plain_line_and_a_code(
    how: str, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fails-at", how]) == code
    assert capsys.readouterr().err == line


@pytest.mark.usefixtures("failing")
def test_a_module_of_our_own_that_is_missing_is_a_fault_and_shows_as_one() -> None:
    with pytest.raises(ModuleNotFoundError, match="not_written"):
        main(["fails-at", "ours"])


@pytest.mark.parametrize(
    ("error", "code"), [(FixConfiguration("x"), 3), (RetryLater("x"), 4), (GiveUp("x"), 5), (WatchError("x"), 5)]
)
def test_the_exit_code_follows_the_class(error: WatchError, code: int) -> None:
    assert exit_code(error) == code


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(["incidnets"], "no such command: incidnets; did you mean incidents?", id="mistyped"),
        pytest.param(["\x1b[31mx"], "no such command: x; `watchstander --help` lists them", id="hostile"),
        pytest.param([], "the following arguments are required: COMMAND (see `watchstander --help`)", id="nothing"),
        pytest.param(["version", "--jsn"], "unrecognized arguments: --jsn", id="no such option"),
        pytest.param(["incidents", "--limit", "x"], "argument --limit: 'x': give a whole number", id="no number"),
        pytest.param(["nodes", "--limit", "0"], "argument --limit: '0': give a whole number of 1 or more", id="none"),
        pytest.param(["jobs", "--limit", "-5"], "argument --limit: '-5': give a whole number of 1 or more", id="below"),
        pytest.param(["snooze", "X", "--until", "4x"], "argument --until: '4x' is no span of time", id="no time"),
        pytest.param(["quality", "--since", "soon"], "argument --since: 'soon' is no time", id="no date"),
        pytest.param(["audit", "verify", "--head", "z"], "argument --head: no hash", id="no hash"),
        pytest.param(["bundle", "X", "--before", "nan"], "argument --before: 'nan': give a number", id="no seconds"),
        pytest.param(["version", "--js"], "unrecognized arguments: --js", id="options are not abbreviated"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_code_2(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = main(arguments), capsys.readouterr().err

    assert (code, said.count("\n")) == (2, 1)
    assert says in said


def test_help_names_every_command_with_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    code, said = main(["--help"]), " ".join(capsys.readouterr().out.split())

    assert code == 0
    assert [name for name, path in command_files().items() if f"{name} {help_line(path)}" not in said] == []


@pytest.mark.parametrize("name", command_files())
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    assert f"usage: watchstander {name}" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("name", ["version", "detectors"], ids=["a-line", "a-table"])
def test_a_reader_that_goes_away_is_no_error(name: str) -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "agent.cli.main", name]
    ran = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)

    assert (ran.returncode, ran.stderr) == (141, b"")


@pytest.mark.slow
def test_a_full_disk_under_the_output_is_one_line() -> None:
    command = [sys.executable, "-m", "agent.cli.main", "version"]
    with Path("/dev/full").open("wb") as full:
        ran = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False)

    said = b"watchstander: standard output: No space left on device; mend that, or name another\n"
    assert (ran.returncode, ran.stderr) == (3, said)


def test_the_version_is_told_by_the_option_that_everybody_tries(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    told = capsys.readouterr().out
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == told
