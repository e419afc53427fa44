import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from api_story import HOSTILE_SEEN
from rich.console import Console
from served_agent import ADMIN_TOKEN, ServedAgent

from agent.cli import tables
from agent.cli.main import main
from agent.cli.tables import print_table
from detectors.model import FindingKind

pytestmark = pytest.mark.slow

Watchstander = Callable[..., tuple[int, str, str]]
ESCAPE = "\x1b"


@pytest.fixture
def watchstander(
    agent: ServedAgent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Watchstander:
    """Runs a command line against the served agent: exit code, output, errors."""
    token = tmp_path / "token"
    token.write_text(ADMIN_TOKEN)
    token.chmod(0o600)
    monkeypatch.setenv("WATCHSTANDER_AGENT", agent.address)
    monkeypatch.setenv("WATCHSTANDER_TOKEN_FILE", str(token))

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_incidents_lists_what_is_not_resolved_newest_first(watchstander: Watchstander) -> None:
    code, out, _ = watchstander("incidents")
    ids = [line.split()[0] for line in out.splitlines()]

    assert (code, ids) == (0, ["ID", "INC-badc0de1", "INC-7f3a91c2", "INC-7f9ea7b0"])


def test_incidents_tells_id_state_severity_kind_where_since_and_title(watchstander: Watchstander) -> None:
    line = watchstander("incidents")[1].splitlines()[2]

    words = ["INC-7f3a91c2", "open", "critical", "xid", "gpu-node-07 / GPU 3 / rank 59 / job llama-70b-pretrain"]
    words += ["2026-11-22 07:19:30 UTC", "fell off the bus"]
    assert [word for word in words if word not in line] == []


def test_incidents_marks_what_is_not_live_and_ends_its_time_by_its_own_clock(watchstander: Watchstander) -> None:
    line = watchstander("incidents", "--origin", "replay")[1].splitlines()[1]

    assert line.split("UTC")[1].split()[:3] == ["2", "s", "replay"]


def test_the_origin_column_is_left_out_where_all_is_live(watchstander: Watchstander) -> None:
    assert "ORIGIN" not in watchstander("incidents", "--origin", "live")[1]


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        pytest.param(["--all"], 4, id="all"),
        pytest.param(["--all", "--limit", "1"], 1, id="limit"),
        pytest.param(["--cluster", "recorded"], 1, id="cluster"),
        pytest.param(["--cluster", "nowhere"], 0, id="none"),
    ],
)
def test_incidents_json_is_what_the_api_says(watchstander: Watchstander, arguments: list[str], count: int) -> None:
    code, out, _ = watchstander("incidents", "--json", *arguments)

    assert (code, len(json.loads(out)["incidents"])) == (0, count)


def test_a_list_that_is_cut_says_so_beside_it(watchstander: Watchstander) -> None:
    assert watchstander("incidents", "--limit", "1")[2] == "(the newest 1; --limit shows more)\n"


@pytest.mark.parametrize(("arguments", "code"), [([], 1), (["--cluster", "nowhere"], 0)], ids=["some", "none"])
def test_check_says_by_its_code_whether_an_incident_is_open(
    watchstander: Watchstander, arguments: list[str], code: int
) -> None:
    assert watchstander("incidents", "--check", *arguments)[0] == code


def test_no_open_incident_is_not_said_to_be_well_where_nobody_has_spoken(watchstander: Watchstander) -> None:
    unknown = watchstander("incidents", "--cluster", "nowhere")[1]
    well = watchstander("incidents", "--origin", "test")[1]

    assert unknown == "No open incidents; but no live collector has sent anything yet, so nothing is known.\n"
    assert well.startswith("No open incidents. Last word from 12 nodes: ")


@pytest.mark.parametrize(
    "arguments",
    [
        ["incidents"],
        ["incident", "INC-badc0de1"],
        ["explain", "INC-badc0de1"],
        ["jobs"],
        ["job", "job-uid-evil"],
        ["audit"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_hostile_log_text_reaches_the_terminal_inert(watchstander: Watchstander, arguments: list[str]) -> None:
    out = watchstander(*arguments)[1]

    assert [name for name in (ESCAPE, "\x07", "\u202e", "\u2066", "💀") if name in out] == []
    assert arguments == ["audit"] or HOSTILE_SEEN in out


def test_markup_in_log_text_is_not_obeyed_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    terminal = Console(file=out, force_terminal=True, width=200, markup=False, highlight=False, emoji=False)
    monkeypatch.setattr(tables, "console", lambda _stream: terminal)
    print_table(["A", "B"], [["[bold red]x[/]", "[link=http://evil]y[/link] :skull: \x1b]8;;http://evil\x07z"]])
    row = out.getvalue().splitlines()[1]

    assert "[bold red]x[/]" in row
    assert "[link=http://evil]y[/link] :skull: z" in row
    assert ESCAPE not in row


def test_on_a_narrow_terminal_ids_stay_whole_and_long_texts_wrap(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(tables, "console", lambda _stream: Console(file=out, width=40))
    print_table(["ID", "TITLE"], [["INC-7f3a91c2", "the quick brown fox jumps over the lazy dog and on"]])

    lines = out.getvalue().splitlines()
    assert lines[1].startswith("INC-7f3a91c2  the quick")
    assert max(map(len, lines)) <= 40
    assert "dog and on" in " ".join(lines[2:])


def test_incident_shows_findings_evidence_decisions_guards_and_events_in_order(watchstander: Watchstander) -> None:
    code, out, _ = watchstander("incident", "7f3a")
    expected = [
        "Findings, the probable root first",
        "1. xid  critical  gpu-node-07 / GPU 3 / rank 59",
        "[xid 79, kernel_log]",
        "NVRM: Xid (PCI:0000:3b:00): 79",
        "2. gpu_lost",
        "[gpu_power_watts 0 W, expected 690 W, nvml]",
        "4. collective_timeout",
        "5. job_crash",
        "Decisions",
        "would do  (rule gpu-lost, mode audit)",
        "- cordon gpu-node-07; undo: uncordon gpu-node-07",
        "G1  no  mode is audit: nothing is touched",
        "G15 yes  two independent sources agree",
        "Events nearby",
        "+0.0 s  xid  code=79",
        "+604.0 s  process_exit  exit_code=134 loss=NaN",
    ]
    places = [out.find(words) for words in expected]

    assert code == 0
    assert -1 not in places
    assert sorted(places) == places


@pytest.mark.parametrize("command", ["incident", "explain"])
def test_an_incident_that_is_not_there_is_code_1_and_a_line(watchstander: Watchstander, command: str) -> None:
    code, out, err = watchstander(command, "zzz")

    assert (code, out) == (1, "")
    assert err.startswith("watchstander: no such incident: zzz")


@pytest.mark.parametrize("command", ["incident", "explain"])
def test_an_id_that_fits_several_is_code_5_and_names_them(watchstander: Watchstander, command: str) -> None:
    code, _, err = watchstander(command, "7f")

    assert code == 5
    assert "INC-7f3a91c2" in err
    assert "INC-7f9ea7b0" in err


def test_explain_gives_causes_with_their_confidence(watchstander: Watchstander) -> None:
    code, out, _ = watchstander("explain", "INC-7f3a91c2")
    explained = json.loads(watchstander("explain", "INC-7f3a91c2", "--json")[1])

    assert code == 0
    assert "Probable causes" in out
    assert f"({explained['causes'][0]['confidence']})" in out


def test_nodes_come_with_those_longest_unheard_of_first(watchstander: Watchstander) -> None:
    code, out, _ = watchstander("nodes", "--cluster", "prod-eu", "--limit", "2")

    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == ["NODE", "gpu-node-09", "gpu-node-01"]


def test_nodes_say_where_sources_disagree_on_lines_that_cannot_be_broken(watchstander: Watchstander) -> None:
    out = watchstander("nodes")[1]

    assert "\nWhere sources disagree (the former is believed):\n" in out
    assert out.splitlines()[-1] == (
        "  node node-w: rack is 'r7' by kubernetes, 'r8<script>' by csv, since 2026-11-22 07:32:10 UTC"
    )
    assert "Where sources" not in watchstander("nodes", "--cluster", "prod-eu")[1]


def test_jobs_come_with_their_last_step(watchstander: Watchstander) -> None:
    line = watchstander("jobs")[1].splitlines()[2]

    assert line.split()[:7] == ["llama-70b-pretrain", "prod-eu", "failed", "1", "76%", "64", "41,872"]


def test_audit_shows_who_did_what_about_which(watchstander: Watchstander) -> None:
    line = watchstander("audit")[1].splitlines()[1]

    assert line.split()[:7] == ["1", "2026-11-22", "07:19:33", "UTC", "watchstander", "decision", "D-7f3a91c2-1"]


def test_audit_verify_says_that_the_chain_holds(watchstander: Watchstander) -> None:
    code, out, _ = watchstander("audit", "--verify")

    assert code == 0
    assert out.startswith("The chain holds. Head: ")


def test_login_gives_a_link_that_opens_the_page_once(watchstander: Watchstander, agent: ServedAgent) -> None:
    link = watchstander("login")[1].strip()

    assert link.startswith(f"{agent.address}/login?code=")
    path = link.removeprefix(agent.address)
    first = agent.get(path, token=None)
    assert "HttpOnly" in first.headers["set-cookie"]
    assert (first.status, agent.get(path, token=None).status) == (200, 401)


def test_detectors_names_every_kind_that_something_finds(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detectors", "--json"]) == 0
    found = {kind for detector in json.loads(capsys.readouterr().out)["detectors"] for kind in detector["kinds"]}

    assert (
        {"xid", "gpu_lost", "straggler", "collective_hang", "loss_nan"} <= found <= {kind.value for kind in FindingKind}
    )


def test_detectors_tells_all_about_one_kind_and_that_there_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detectors", "xid"]) == 0
    assert "XidDetector: xid" in capsys.readouterr().out
    assert main(["detectors", "gremlins"]) == 1
    assert capsys.readouterr().out == "No detector finds gremlins.\n"


def test_every_detector_has_words_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    main(["detectors", "--json"])
    detectors = json.loads(capsys.readouterr().out)["detectors"]

    assert [detector["name"] for detector in detectors if len(detector["summary"]) < 30] == []


def test_version_is_the_same_from_the_command_and_from_the_agent(
    agent: ServedAgent, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["version", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == agent.get("/v1/version").json


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion_knows_every_command(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    from agent.cli.main import command_files

    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert [name for name in command_files() if name not in script] == []


def test_job_answers_five_questions_and_gives_the_snippet_and_the_account(watchstander: Watchstander) -> None:
    code, out, _ = watchstander("job", "llama-70b-pretrain")

    lines = [line.strip() for line in out.splitlines()]
    assert code == 0
    assert next(line for line in lines if line.startswith("from")).startswith("from    From step 41,000")
    assert "without Without gpu-node-07 (Xid 79 there)." in lines
    assert '- "gpu-node-07"' in lines
    assert any(line.startswith("Goodput 7") and "time share 80.0%" in line for line in lines)
    assert any(line.split()[:4] == ["the", "whole", "100.0%", "10"] for line in lines)


def test_a_job_that_is_not_there_is_code_1_and_a_line(watchstander: Watchstander) -> None:
    code, out, err = watchstander("job", "nobody/nothing")

    assert (code, out) == (1, "")
    assert "no such job: nobody/nothing" in err
