"""Conditions: what is wrong is refused at load, and only a plain true counts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.cel import LONGEST_CONDITION, CelError, CelType, Conditions

CONDITIONS = Conditions(
    {"incident.kind": CelType.STRING, "age": CelType.INT, "codes": CelType.INTS, "names": CelType.NAMES}
)
VALUES = {"incident.kind": "xid", "age": 30, "codes": [31, 79], "names": {"node": "a"}}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ('incident.kind == "xid"', True),
        ("age > 30", False),
        ("79 in codes", True),
        ("codes.exists(c, c in [48, 95])", False),
        ('"rank" in names && names.rank == "3"', False),
        ('names.node == "a"', True),
    ],
)
def test_a_condition_says_yes_or_no_without_a_problem(text, holds) -> None:
    judged = CONDITIONS.compile(text).judge(VALUES)

    assert (holds, "") == (judged.holds, judged.problem)


@pytest.mark.parametrize(
    ("text", "line", "column", "word"),
    [
        pytest.param("incident.knd == 'xid'", 1, 9, "unknown name 'incident.knd'", id="a name nobody provides"),
        pytest.param("age > 1 &&\n  agee > 2", 2, 3, "unknown name 'agee'", id="on the second line"),
        pytest.param("incident.kind == ", 1, 18, "Syntax error", id="cut off"),
        pytest.param('incident.kind == "xid', 1, 18, "Syntax error", id="quote left open"),
        pytest.param("age == 'x'", 1, 5, "no matching overload", id="unlike types"),
        pytest.param("age + 1", 1, 1, "gives int", id="a number"),
        pytest.param("codes", 1, 1, "gives list", id="a list"),
        pytest.param("", 1, 1, "Syntax error", id="nothing at all"),
        pytest.param("true || " * 600 + "true", 1, 1, "characters long", id="too long"),
    ],
)
def test_what_is_wrong_is_refused_at_load_with_its_place(text, line, column, word) -> None:
    with pytest.raises(CelError) as caught:
        CONDITIONS.compile(text)

    assert (line, column) == (caught.value.line, caught.value.column)
    assert word in caught.value.reason
    assert "\n" not in str(caught.value)


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(CelError, match=r"known: incident\.kind, age, codes, names"):
        CONDITIONS.compile("kind == 'xid'")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        pytest.param('names.rank == "3"', "rank", id="missing key"),
        pytest.param("age / 0 == 1", "divide by zero", id="division by zero"),
        pytest.param("codes[7] == 1", "Index error", id="index out of bounds"),
        pytest.param("int(names.node) == 1", "", id="conversion"),
    ],
)
def test_an_error_counts_as_no_and_says_why(text, word) -> None:
    judged = CONDITIONS.compile(text).judge(VALUES)

    assert not judged.holds
    assert judged.problem
    assert word in judged.problem


def test_a_condition_that_runs_away_is_stopped_and_counts_as_no() -> None:
    runaway = CONDITIONS.compile("codes.exists(a, codes.exists(b, a + b < 0))")
    judged = runaway.judge({**VALUES, "codes": list(range(3000))})

    assert not judged.holds
    assert "budget" in judged.problem


def test_a_result_of_unknown_type_counts_only_if_it_is_true() -> None:
    anything = Conditions({"names": CelType.NAMES})

    assert not anything.compile("dyn(names.node)").judge({"names": {"node": "true"}}).holds


def test_a_missing_variable_counts_as_no() -> None:
    judged = CONDITIONS.compile("age > 1").judge({})

    assert not judged.holds
    assert judged.problem


@given(st.text(max_size=LONGEST_CONDITION // 20))
def test_garbage_is_refused_or_judged_and_never_breaks(text) -> None:
    try:
        condition = CONDITIONS.compile(text)
    except CelError as error:
        assert "\n" not in str(error)
    else:
        condition.judge(VALUES)
