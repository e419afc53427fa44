"""The commands by which people say something about incidents, and those that tell how good the watch is."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from api_story import HOSTILE_INCIDENT, LOST_FINDINGS, LOST_INCIDENT
from served_agent import ADMIN_TOKEN, ServedAgent, served

from agent.cli.main import main
from agent.cli.moments import moment_ns, span_seconds
from collectors.errors import GiveUp

pytestmark = pytest.mark.slow

Watchstander = Callable[..., tuple[int, str, str]]
RECORDING = Path(__file__).parents[3] / "recordings" / "h200-xid"


@pytest.fixture
def own_agent(tmp_path: Path) -> Iterator[ServedAgent]:
    with served(tmp_path) as agent:
        yield agent


@pytest.fixture
def watchstander(
    own_agent: ServedAgent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Watchstander:
    token = tmp_path / "token"
    token.write_text(ADMIN_TOKEN)
    token.chmod(0o600)
    monkeypatch.setenv("WATCHSTANDER_AGENT", own_agent.address)
    monkeypatch.setenv("WATCHSTANDER_TOKEN_FILE", str(token))

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(["acknowledge", "7f3a"], "INC-7f3a91c2  acknowledged  ", id="acknowledge"),
        pytest.param(["snooze", "7f3a", "--until", "2d"], "INC-7f3a91c2  snoozed until 20", id="snooze"),
        pytest.param(["resolve", "7f3a", "--note", "ok"], "INC-7f3a91c2  resolved (resolved by admin)", id="resolve"),
        pytest.param(["merge", "badc", "7f3a"], "INC-badc0de1  resolved (merged into INC-7f3a91c2 by", id="merge"),
        pytest.param(["split", "7f3a", LOST_FINDINGS[1].id], "INC-7f3a91c2  open  ", id="split"),
        pytest.param(["feedback", "7f3a", "false"], "INC-7f3a91c2  judged false by admin", id="feedback"),
    ],
)
def test_a_word_is_said_and_how_the_incident_stands_is_printed(
    watchstander: Watchstander, monkeypatch: pytest.MonkeyPatch, arguments: list[str], says: str
) -> None:
    import time

    from api_story import NOW

    monkeypatch.setattr(time, "time_ns", lambda: NOW)
    code, out, err = watchstander(*arguments)

    assert (code, err) == (0, "")
    assert says in out


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        pytest.param(["resolve", "INC-ffffffff"], 1, "no such incident", id="unknown"),
        pytest.param(["resolve", "7f"], 5, "more than one incident", id="ambiguous"),
        pytest.param(["resolve", "00c4"], 5, "is resolved", id="resolved"),
        pytest.param(["snooze", "7f3a", "--until", "0"], 5, "past", id="past"),
        pytest.param(["snooze", "7f3a", "--until", "tomorrow"], 2, "is no time", id="no time"),
        pytest.param(["merge", "7f3a", "7f3a"], 5, "into itself", id="itself"),
        pytest.param(["feedback", "7f3a", "perhaps"], 2, "perhaps", id="no judgement"),
        pytest.param(["missed", "--subject", "nobody"], 1, "nothing here is called", id="nobody"),
        pytest.param(
            ["missed", "--subject", "nobody", "--at", "27", "--recording", str(RECORDING)],
            1,
            "nothing here is called",
            id="nobody in a recording",
        ),
        pytest.param(["missed", "--subject", "x", "--at", "5"], 2, "go together", id="at without a recording"),
    ],
)
def test_what_makes_no_sense_gets_one_line_and_its_exit_code(
    watchstander: Watchstander, arguments: list[str], code: int, says: str
) -> None:
    found, out, err = watchstander(*arguments)

    assert (found, out) == (code, "")
    assert says in err
    assert err.count("\n") == 1


def test_an_incident_shows_what_it_cost_what_people_said_and_no_escape_of_theirs(watchstander: Watchstander) -> None:
    watchstander("feedback", "badc", "true", "--note", "\x1b[2Jred\x1b[0m")
    watchstander("merge", "badc", "7f3a", "--note", "\x1b]0;title\x07")
    _, out, _ = watchstander("incident", HOSTILE_INCIDENT.id)

    assert "cost   Holds up no GPU, as far as is known." in out
    assert "judged true by admin" in out
    assert "merge with INC-7f3a91c2" in out
    assert "\x1b" not in out


def test_quality_tells_precision_with_its_range(watchstander: Watchstander) -> None:
    watchstander("feedback", "7f3a", "true")
    _, out, _ = watchstander("quality", "--since", "2026-01-01")
    line = next(line for line in out.splitlines() if line.startswith("kind xid"))

    assert line.replace("%", " %").split()[2:] == [
        "1",
        "1",
        "0",
        "0",
        "100",
        "%",
        "21",
        "%",
        "to",
        "100",
        "%",
        "0",
        "%",
    ]


def test_missed_tells_the_running_watchs_look_now(watchstander: Watchstander) -> None:
    code, out, _ = watchstander("missed", "--subject", "node-w/gpu0", "--all")

    assert code == 0
    assert [name for name in ("PowerThrottle", "TelemetryLost", "XidDetector") if name not in out] == []
    assert "not learnt" in out


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("4h", 14_400), ("30d", 2_592_000), ("2w", 1_209_600)]
)
def test_spans_are_read_as_people_write_them(text: str, seconds: float) -> None:
    assert seconds == span_seconds(text)


@pytest.mark.parametrize("text", ["", "soon", "1y", "-4h", "nan", "inf", "1e300", "-5", "2026-13-01", "\x1b[2J", "٣h"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(GiveUp):
        moment_ns(text, 10**18)


def test_the_incidents_of_the_story_are_still_the_ones_these_tests_name() -> None:
    assert (LOST_INCIDENT.id, HOSTILE_INCIDENT.id) == ("INC-7f3a91c2", "INC-badc0de1")
