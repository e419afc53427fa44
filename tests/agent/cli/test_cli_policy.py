"""`watchstander policy`: check, test and explain, as people and programs see them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from api_story import LOST_INCIDENT
from served_agent import ADMIN_TOKEN, ServedAgent

from agent.cli.main import main
from policies.guards import GUARDS

Watchstander = Callable[..., tuple[int, str, str]]
POLICY = "version: 1\nrules:\n  - {name: tell, description: d, actions: [notify]}\n"
FIXTURE = "cases:\n  - {name: silence, findings: [{kind: telemetry_lost, node: a}], expect: {rule: RULE}}\n"


@pytest.fixture
def watchstander(capsys: pytest.CaptureFixture[str]) -> Watchstander:
    """Runs a command line: exit code, output, errors."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "fixtures").mkdir()
    (tmp_path / "fixtures" / "one.yaml").write_text(FIXTURE.replace("RULE", "tell"))
    return tmp_path


def test_a_right_file_is_said_to_be_right(watchstander, folder) -> None:
    code, out, err = watchstander("policy", "check", str(folder / "policy.yaml"))

    assert (code, err) == (0, "")
    assert out.startswith(f"{folder / 'policy.yaml'}: right, 1 rule, sha256 ")


def test_a_wrong_file_costs_one_line_with_file_line_column_and_reason(watchstander, folder) -> None:
    (folder / "policy.yaml").write_text(POLICY.replace("}", ", when: incident.knd == 'x'}"))
    code, out, err = watchstander("policy", "check", str(folder / "policy.yaml"))

    assert (code, out, err.count("\n")) == (3, "", 1)
    assert f"{folder / 'policy.yaml'}:3: column " in err
    assert "unknown name 'incident.knd'" in err


@pytest.mark.parametrize("what", ["check", "explain"])
def test_what_is_to_be_looked_at_has_to_be_named(watchstander, what) -> None:
    code, _, err = watchstander("policy", what)

    assert code == 2
    assert f"policy {what}: name the" in err


def test_fixtures_beside_the_file_are_run(watchstander, folder) -> None:
    code, out, _ = watchstander("policy", "test", str(folder / "policy.yaml"))

    assert (code, out.splitlines()) == (0, ["ok      one.yaml: silence", "1 of 1 fixtures came out as expected"])


def test_a_fixture_that_comes_out_otherwise_fails_with_the_difference(watchstander, folder) -> None:
    other = folder / "other"
    other.mkdir()
    (other / "one.yaml").write_text(FIXTURE.replace("RULE", "cordon-it"))
    code, out, _ = watchstander("policy", "test", str(folder / "policy.yaml"), "--fixtures", str(other))

    assert code == 1
    assert "FAILED  one.yaml: silence\n          rule: expected cordon-it, got tell\n" in out


def test_a_rule_without_a_fixture_is_named_and_fails_where_asked(watchstander, folder) -> None:
    (folder / "policy.yaml").write_text(POLICY + "  - {name: never, description: d, actions: [], kinds: [xid]}\n")
    arguments = ("policy", "test", str(folder / "policy.yaml"))
    code, out, _ = watchstander(*arguments)

    assert (code, "rules without a fixture: never" in out) == (0, True)
    assert watchstander(*arguments, "--all-rules")[0] == 1


def test_the_policy_that_ships_passes_its_own_fixtures(watchstander) -> None:
    code, out, _ = watchstander("policy", "test", "--all-rules", "--json")
    told = json.loads(out)

    assert (code, told["failed"], told["rules_without_fixture"]) == (0, 0, [])
    assert len(told["cases"]) > 15


def at(agent: ServedAgent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = tmp_path / "token"
    token.write_text(ADMIN_TOKEN)
    token.chmod(0o600)
    monkeypatch.setenv("WATCHSTANDER_AGENT", agent.address)
    monkeypatch.setenv("WATCHSTANDER_TOKEN_FILE", str(token))


def test_an_incident_is_explained_with_every_rule_and_every_guard(watchstander, agent, tmp_path, monkeypatch) -> None:
    at(agent, tmp_path, monkeypatch)
    code, out, _ = watchstander("policy", "explain", LOST_INCIDENT.id, "--json")
    told = json.loads(out)

    assert code == 0
    assert [one["guard"] for one in told["guards"]] == list(GUARDS)
    assert [one["rule"] for one in told["rules"] if one["decides"]] == ["gpu-off-the-bus"]
    assert all(one["reason"] for one in (*told["rules"], *told["guards"]))


def test_people_read_which_rule_decides_and_what_the_guards_say(watchstander, agent, tmp_path, monkeypatch) -> None:
    at(agent, tmp_path, monkeypatch)
    _, out, _ = watchstander("policy", "explain", LOST_INCIDENT.id)

    assert "-> gpu-off-the-bus: its condition holds" in out
    assert "is not about xid (kinds: row_remap)" in out
    assert "G15" in out


def test_an_incident_that_is_not_there_is_a_no(watchstander, agent, tmp_path, monkeypatch) -> None:
    at(agent, tmp_path, monkeypatch)

    assert watchstander("policy", "explain", "INC-NONE")[0] == 1
