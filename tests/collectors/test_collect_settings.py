"""Settings come from one file, options win over it, and what is wrong is told in one line."""

import re
from pathlib import Path

import pytest

from collectors.errors import FixConfiguration
from collectors.sampling.plan import SamplingPlan
from collectors.settings import (
    AgentSettings,
    LogSettings,
    NodeNames,
    NodeSettings,
    Settings,
    describe,
    find_node,
    load_settings,
    with_options,
)

DOCS = Path(__file__).parents[2] / "docs" / "collector.md"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "settings.yaml"


@pytest.mark.parametrize("content", ["", "# nothing\n", "{}", "  \n"])
def test_an_empty_file_means_the_defaults(path: Path, content: str) -> None:
    path.write_text(content)
    assert load_settings(path) == Settings() == load_settings(None)


def test_a_file_is_read(path: Path) -> None:
    path.write_text(
        "cluster: prod\n"
        "agent: {url: 'https://agent:8480', ca_file: /ca}\n"
        "sampling: {batch_seconds: 10}\n"
        "logs: [{path: '/var/log/*.log', job: llama, rank: 3}]\n"
        "kmsg: null\n"
    )
    settings = load_settings(path)
    assert settings.cluster == "prod"
    assert settings.agent == AgentSettings(url="https://agent:8480", ca_file="/ca")
    assert settings.plan() == SamplingPlan(batch_seconds=10)
    assert settings.logs == (LogSettings("/var/log/*.log", "llama", 3),)
    assert settings.kmsg is None
    assert str(settings.endpoint()) == "https://agent:8480"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("agnt: {}", "unknown field `agnt`"),
        ("cluster: a\nlogs:\n- {path: x, job: a, path: y}\n", "line 3: 'path' stands twice"),
        ("agent: {uri: x}", r"unknown field `uri` - at `\$.agent`"),
        ("agent: {url: 5}", r"Expected `str`, got `int` - at `\$.agent.url`"),
        ("agent: {timeout_seconds: 0}", r"> 0.* - at `\$.agent.timeout_seconds`"),
        ("spool: {max_bytes: 5}", r">= 1048576 - at `\$.spool.max_bytes`"),
        ("logs: [{path: x}]", r"missing required field `job` - at `\$.logs\[0\]`"),
        ("logs: [{path: x, job: y, rank: -1}]", r">= 0 - at `\$.logs\[0\].rank`"),
        ("cluster: ''", r"length >= 1 - at `\$.cluster`"),
        ('spool: {directory: "a\\0b"}', r"matching regex.* - at `\$.spool.directory`"),
        ("nvml: maybe", r"Expected `bool`, got `str` - at `\$.nvml`"),
        ("sampling: {cheap: 1}", r"unknown field `cheap` - at `\$.sampling`; known are cheap_seconds"),
        ("sampling: {cheap_seconds: 99999}", "sampling.cheap_seconds is 99999.0: give seconds between"),
        ("sampling: {cheap_seconds: .nan}", "sampling.cheap_seconds is nan"),
        ("- 1", "Expected `object.*`, got `array`"),
        ("a: [", "not YAML"),
        ("[" * 3000, "not YAML"),
        ("\x00", "not YAML"),
    ],
)
def test_what_is_wrong_is_told_in_one_line_with_file_and_field(path: Path, content: str, says: str) -> None:
    path.write_text(content)
    with pytest.raises(FixConfiguration, match=says) as caught:
        load_settings(path)
    assert str(caught.value).startswith(f"settings {path}: ")
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text_are_told_too(path: Path) -> None:
    path.write_bytes(b"cluster: \xff\xfe\xfd")
    with pytest.raises(FixConfiguration, match="not YAML"):
        load_settings(path)


def test_a_file_that_is_not_there_is_told() -> None:
    with pytest.raises(FixConfiguration, match="settings /nonexistent: No such file"):
        load_settings(Path("/nonexistent"))


def test_options_win_over_the_file(path: Path) -> None:
    path.write_text(
        "cluster: prod\nagent: {url: 'https://one', ca_file: /ca}\nkmsg: /dev/kmsg\nlogs: [{path: a, job: b}]"
    )
    settings = with_options(
        path, {"agent.url": "https://two", "cluster": None, "node.id": "n"}, ["/x=y.log=job-1"], no_kmsg=True
    )
    assert settings.agent == AgentSettings(url="https://two", ca_file="/ca")
    assert settings.cluster == "prod"
    assert settings.node.id == "n"
    assert settings.kmsg is None
    assert settings.logs == (LogSettings("a", "b"), LogSettings("/x=y.log", "job-1"))


@pytest.mark.parametrize("log", ["", "x", "=x", "x="])
def test_a_log_option_that_says_too_little_is_told(log: str) -> None:
    with pytest.raises(FixConfiguration, match="write PATTERN=JOB"):
        with_options(None, {}, [log])


def test_an_option_out_of_range_is_told() -> None:
    with pytest.raises(FixConfiguration, match=r"command line: .* - at `\$.cluster`"):
        with_options(None, {"cluster": ""})


def test_the_node_is_found_by_setting_then_environment_then_machine_id(tmp_path: Path) -> None:
    machine_id = tmp_path / "machine-id"
    machine_id.write_text("0123abcd\n")
    files = (tmp_path / "none", machine_id)
    environment = {"NODE_UID": "uid-1", "NODE_NAME": "worker-1"}
    assert find_node(NodeSettings("a", "b"), environment, files) == NodeNames("b", "a", "node.id")
    assert find_node(NodeSettings(), environment, files) == NodeNames("uid-1", "worker-1", "NODE_UID")
    assert find_node(NodeSettings(), {}, files, "host") == NodeNames("0123abcd", "host", str(machine_id))


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff", b"uninitialized\nx"])
def test_a_node_without_an_id_is_told(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "machine-id").write_bytes(content)
    with pytest.raises(FixConfiguration, match=r"this node has no id: set node\.id or the variable NODE_UID"):
        find_node(NodeSettings(), {}, (tmp_path / "machine-id",))


def test_every_setting_stands_in_the_docs_with_its_default_and_its_text() -> None:
    table = re.findall(r"^\| `([^`]+)` \| `?([^|`]*)`? \| (.+?) \|$", DOCS.read_text("utf-8"), re.MULTILINE)
    said = {name: (default.strip(), text) for name, default, text in table if name.split(".")[0] in TOP}
    assert {one.name: (one.default, one.text) for one in describe()} == said


TOP = {one.name.split(".")[0].removesuffix("[]") for one in describe()} | {"logs[]"}


def test_every_setting_has_a_text() -> None:
    assert [one.name for one in describe() if not one.text] == []
