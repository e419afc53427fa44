"""Policy files: a mistake costs one line that says where it is."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.errors import FixConfiguration
from detectors.model import FindingKind
from policies.model import ActionKind, Mode
from policies.rules import default_rules, load_rules, parse_rules

HEAD = "version: 1\nrules:\n"
RULE = "  - name: a\n    description: why\n    actions: [notify]\n"


def test_a_rule_needs_only_a_name_a_reason_and_actions() -> None:
    (compiled,) = parse_rules((HEAD + RULE).encode(), "p.yaml")

    assert (
        compiled.rule.name,
        compiled.rule.actions,
        compiled.rule.mode,
    ) == ("a", (ActionKind.NOTIFY,), Mode.ENFORCE)
    assert compiled.condition is None


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        pytest.param("", 1, "empty", id="empty"),
        pytest.param("rules: []", 1, "version", id="no version"),
        pytest.param("version: 2\nrules: []", 1, "version", id="a version from the future"),
        pytest.param("version: 1\nrules: {}", 2, "rules", id="rules that are no list"),
        pytest.param(HEAD + RULE + "    when: [\n", 7, "not YAML", id="not YAML"),
        pytest.param(HEAD + RULE + "\twhen: x\n", 6, "not YAML", id="a tab"),
        pytest.param(HEAD + RULE + "    action: [cordon]\n", 6, "unknown field `action`", id="unknown field"),
        pytest.param(HEAD + RULE + "    actions: [cordon]\n", 6, "'actions' stands twice", id="a key twice"),
        pytest.param(HEAD + RULE + "    kinds: [xidd]\n", 6, "'xidd' (one of xid,", id="unknown kind"),
        pytest.param(HEAD + RULE + "    mode: yolo\n", 6, "'yolo' (one of audit, approve, enforce)", id="unknown mode"),
        pytest.param(HEAD + RULE + "    wait_seconds: -1\n", 6, "rules[0].wait_seconds", id="negative wait"),
        pytest.param(HEAD + RULE + "    wait_seconds: soon\n", 6, "rules[0].wait_seconds", id="a word for a number"),
        pytest.param(HEAD + RULE + "    sources: 9\n", 6, "rules[0].sources", id="more sources than there are"),
        pytest.param(HEAD + RULE + RULE, 6, "'a' is taken by the rule on line 3", id="a name twice"),
        pytest.param(HEAD + RULE.replace("name: a", "name: A b"), 3, "rules[0].name", id="a name with a blank"),
        pytest.param(HEAD + RULE.replace("[notify]", "[notify, reboot]"), 5, "'reboot' (one of", id="unknown action"),
        pytest.param(HEAD + RULE.replace("[notify]", "[notify, notify]"), 3, "an action twice", id="an action twice"),
        pytest.param(HEAD + RULE.replace("    description: why\n", ""), 3, "description", id="no reason given"),
        pytest.param(
            HEAD + RULE + "    when: incident.knd == 'x'\n", 6, "column 19: rules[0].when (a): unknown name", id="name"
        ),
        pytest.param(HEAD + RULE + '    when: "1 + 1"\n', 6, "gives int", id="a condition that is a number"),
        pytest.param(
            HEAD + RULE + "    when: |\n      true &&\n      nobody\n", 8, "unknown name 'nobody'", id="in a block"
        ),
        pytest.param(HEAD + RULE + "    kinds: &k [xid]\n  - *k\n", 7, "aliases", id="alias"),
        pytest.param("[" * 5000, 1, "", id="very deep"),
        pytest.param("version: 1\nrules: 2020-99-99\n", 2, "", id="a date that is none"),
        pytest.param("? [1]\n: 2\n", 1, "a key must be a word", id="a list as key"),
    ],
)
def test_a_mistake_is_one_line_with_file_line_and_reason(text, line, words) -> None:
    with pytest.raises(FixConfiguration) as caught:
        parse_rules(text.encode(), "p.yaml")

    message = str(caught.value)
    assert message.startswith(f"p.yaml:{line}:"), message
    assert words in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "text",
    [
        b"\xff\xfe\x00",
        b"version: 1\nrules: \xe9\n",
        b"x" * 1_000_001,
        b"\x00",
        b"version: 1\r\nrules: \x1b[31m",
    ],
    ids=["BOM and half a letter", "Latin-1", "a megabyte", "NUL", "ANSI"],
)
def test_bytes_that_are_no_policy_are_refused_in_one_line(text) -> None:
    with pytest.raises(FixConfiguration) as caught:
        parse_rules(text, "p.yaml")

    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_said_in_one_line(tmp_path) -> None:
    with pytest.raises(FixConfiguration, match="cannot be read"):
        load_rules(tmp_path / "none.yaml")


@settings(max_examples=60)
@given(st.binary(max_size=200) | st.text(alphabet="version: 1\nrules[]{}-&*'\"|>?!%@#", max_size=120).map(str.encode))
def test_garbage_is_refused_in_one_line_or_read(text) -> None:
    try:
        parse_rules(text, "p.yaml")
    except FixConfiguration as error:
        assert "\n" not in str(error)


def test_the_default_policy_has_a_rule_for_every_kind_that_opens_incidents() -> None:
    named = {kind for compiled in default_rules() for kind in compiled.rule.kinds}

    assert set(FindingKind) - {FindingKind.UNUSUAL} == named


def test_the_default_policy_touches_no_node_for_a_fault_of_training() -> None:
    training = next(c.rule for c in default_rules() if c.rule.name == "training")

    assert training.actions == (ActionKind.NOTIFY,)
