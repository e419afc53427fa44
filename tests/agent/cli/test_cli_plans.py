"""Plans, approval, pause and audit at the command line."""

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from api_story import HOSTILE_PLAN, LOST_INCIDENT, LOST_PLAN, NOW
from served_agent import ADMIN_TOKEN, READER_TOKEN, ServedAgent, served

from agent.cli.main import main

pytestmark = pytest.mark.slow

Watchstander = Callable[..., tuple[int, str, str]]


@pytest.fixture
def own_agent(tmp_path: Path) -> Iterator[ServedAgent]:
    with served(tmp_path) as agent:
        yield agent


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(ADMIN_TOKEN)
    path.chmod(0o600)
    return path


@pytest.fixture
def watchstander(
    own_agent: ServedAgent, token: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Watchstander:
    monkeypatch.setenv("WATCHSTANDER_AGENT", own_agent.address)
    monkeypatch.setenv("WATCHSTANDER_TOKEN_FILE", str(token))

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_plans_that_wait_are_listed_with_their_steps(watchstander: Watchstander) -> None:
    code, out, err = watchstander("plans")

    assert (code, err) == (0, "")
    assert LOST_PLAN.id in out
    assert "cordon node gpu-node-07; restart Job training/llama-70b-pretrain, 8 pods" in out
    assert "1 node, 8 pods, 1 job, 64 ranks, 64 GPUs: gpu-node-07, llama-70b-pretrain" in out
    assert "\x1b" not in out


@pytest.mark.parametrize("given", [LOST_PLAN.id, LOST_PLAN.id[4:9].lower(), LOST_INCIDENT.id, "7f3a"])
def test_a_plan_is_shown_with_all_that_a_person_needs(watchstander: Watchstander, given: str) -> None:
    code, out, err = watchstander("plan", given)

    assert (code, err) == (0, "")
    for said in (
        f"digest {LOST_PLAN.digest}",
        "1. cordon node gpu-node-07",
        "Node gpu-node-07, uid node-uid-7",
        "undo: uncordon Node gpu-node-07",
        "2. restart Job training/llama-70b-pretrain, 8 pods",
        "undo: none",
        "G1  no  mode is audit: nothing is touched",
        "NVRM: Xid (PCI:0000:3b:00): 79",
    ):
        assert said in out


def test_a_hostile_name_is_shown_plain(watchstander: Watchstander) -> None:
    code, out, _ = watchstander("plan", HOSTILE_PLAN.id)

    assert code == 0
    assert "\x1b" not in out
    assert "\u202e" not in out


def test_an_approval_sends_the_digest_that_was_shown(watchstander: Watchstander, own_agent: ServedAgent) -> None:
    code, out, err = watchstander("approve", "7f3a", "--yes", "--note", "seen")
    entry = own_agent.store.journal.get(LOST_PLAN.id)

    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == f"{LOST_PLAN.id} approved by admin; it holds until 2026-11-22 07:47:10 UTC"
    assert entry is not None and entry.approval is not None
    assert (entry.state, entry.approval.digest, entry.approval.time_ns) == ("ready", LOST_PLAN.digest, NOW)


@pytest.mark.parametrize(
    ("answer", "code", "state"),
    [
        pytest.param("y", 0, "ready", id="yes"),
        pytest.param("", 1, "awaiting", id="enter"),
        pytest.param("n", 1, "awaiting", id="no"),
    ],
)
def test_a_person_is_asked(
    watchstander: Watchstander,
    own_agent: ServedAgent,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    code: int,
    state: str,
) -> None:
    asked = []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda prompt: asked.append(prompt) or answer)

    assert watchstander("approve", LOST_PLAN.id)[0] == code
    entry = own_agent.store.journal.get(LOST_PLAN.id)
    assert entry is not None
    assert (entry.state, asked) == (state, [f"Approve {LOST_PLAN.id}? [y/N] "])


def test_where_nobody_can_be_asked_nothing_is_approved(
    watchstander: Watchstander, own_agent: ServedAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)

    code, _, err = watchstander("approve", LOST_PLAN.id)

    assert (code, "say --yes" in err) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        pytest.param(["plan", "PLN-NOBODY"], 1, "no such plan or incident", id="unknown"),
        pytest.param(["approve", "INC-ffffffff", "--yes"], 1, "no such plan or incident", id="approve-unknown"),
        pytest.param(["approve", "7f3a", "--yes", "--digest", "0" * 64], 5, "what was shown to you had", id="another"),
        pytest.param(["resume"], 5, "not paused", id="not-paused"),
        pytest.param(["plan", ""], 5, "an empty ID names nothing", id="empty"),
        pytest.param(["audit", "verify", "--head", "xyz"], 2, "no hash", id="no-hash"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    watchstander: Watchstander, arguments: list[str], code: int, says: str
) -> None:
    given = watchstander(*arguments)

    assert given[0] == code
    assert says in given[2]
    assert len(given[2].splitlines()) == 1


def test_a_plan_is_rejected_and_then_over(watchstander: Watchstander) -> None:
    first = watchstander("reject", "7f3a", "--note", "not now")
    second = watchstander("reject", LOST_PLAN.id)

    assert first == (0, f"{LOST_PLAN.id}  lapsed  rejected by admin: not now\n", "")
    assert second[0] == 5


def test_who_may_only_read_approves_nothing(watchstander: Watchstander, token: Path) -> None:
    token.write_text(READER_TOKEN)

    code, _, err = watchstander("approve", LOST_PLAN.id, "--yes")

    assert (code, "may not approve" in err) == (3, True)


def test_all_actions_are_paused_and_go_on(watchstander: Watchstander) -> None:
    paused = watchstander("pause", "--reason", "driver upgrade")
    listed = watchstander("plans")[1].splitlines()[0]
    resumed = watchstander("resume")

    assert paused == (0, "All actions are paused by admin: driver upgrade\n", "")
    assert listed.startswith("ALL ACTIONS ARE PAUSED by admin")
    assert resumed == (0, "Actions go on.\n", "")


def test_the_audit_is_exported_and_its_export_verified_without_an_agent(
    watchstander: Watchstander, own_agent: ServedAgent, tmp_path: Path
) -> None:
    _, exported, _ = watchstander("audit", "export")
    file = tmp_path / "audit.jsonl"
    file.write_text(exported)
    head = own_agent.store.audit(limit=1, newest_first=True)[0].hash

    whole = watchstander("audit", "verify", "--file", str(file), "--head", head)
    file.write_text(exported.replace("gpu-node-07", "gpu-node-08", 1))
    broken = watchstander("audit", "verify", "--file", str(file))
    file.write_text(exported + "{}\n")
    torn = watchstander("audit", "verify", "--file", str(file))

    assert whole == (0, f"The chain holds. Head: {head}\n", "")
    assert (broken[0], broken[1].startswith("THE CHAIN IS BROKEN at entry 1")) == (1, True)
    assert (torn[0], f"{file}:{len(exported.splitlines()) + 1}: no audit entry" in torn[2]) == (5, True)


def test_the_audit_is_exported_as_cloud_events(watchstander: Watchstander) -> None:
    _, exported, _ = watchstander("audit", "export", "--format", "cloudevents", "--after", "1")
    events = [msgspec.json.decode(line) for line in exported.splitlines()]

    assert [event["data"]["sequence"] for event in events] == list(range(2, len(events) + 2))
    assert {event["specversion"] for event in events} == {"1.0"}
    assert events[0]["type"] == "io.watchstander.audit.plan"
    assert events[0]["data"]["detail"]["state"] == "awaiting"
    assert events[0]["id"] == events[0]["data"]["hash"]


@pytest.mark.parametrize("spelled", [["audit", "verify"], ["audit", "--verify"]], ids=["verify", "alias"])
def test_a_published_hash_is_looked_for_in_the_chain(
    watchstander: Watchstander, own_agent: ServedAgent, spelled: list[str]
) -> None:
    first = own_agent.store.audit()[0]
    own_agent.store.append_audit(time_ns=NOW, actor="ann", what="note", about="x", detail="{}")
    newest = own_agent.store.audit(limit=1, newest_first=True)[0].sequence

    there = watchstander(*spelled, "--head", f"{first.hash}:1")
    gone = watchstander(*spelled, "--head", "ab" * 32)

    assert there[0] == 0
    assert f"The published hash is that of entry 1; {newest - 1} came since." in there[1]
    assert (gone[0], "THE PUBLISHED HASH IS NOT IN THE CHAIN" in gone[1]) == (1, True)
