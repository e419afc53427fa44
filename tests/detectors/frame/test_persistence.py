"""Opening after k of n, clearing after m, against a model in plain Python."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.persistence import Persistence

NS = 1_000_000_000


def told(hold: Persistence, looks: str, column: int = 0) -> str:
    """One look a second: b bad, c clean, ? unknown. For each: o opens, x clears, - nothing."""
    out = ""
    cols = np.array([column])
    for second, look in enumerate(looks):
        bad, known = np.array([look == "b"]), np.array([look != "?"])
        opens, clears = hold.look(cols, bad, known, np.array([(second + 1) * NS]))
        out += "o" if len(opens) else "x" if len(clears) else "-"
    return out


@pytest.mark.parametrize(
    ("k", "n", "m", "looks", "expected"),
    [
        (1, 1, 1, "bcb", "oxo"),
        (3, 3, 2, "bbb", "--o"),
        (3, 4, 2, "bbcb", "---o"),
        (3, 4, 2, "bbccb", "-----"),
        (2, 3, 3, "bbccc", "-o--x"),
        (2, 3, 3, "bbccbcc", "-o-----"),
        (2, 2, 1, "b?b", "--o"),
        (2, 2, 2, "bb?c?c", "-o---x"),
        (2, 2, 1, "bbcb", "-ox-"),
        (1, 1, 3, "?????", "-----"),
    ],
    ids=[
        "one-is-enough",
        "three-running",
        "one-forgiven",
        "two-are-not",
        "clears-after-m",
        "a-bad-look-restarts-the-count",
        "unknown-is-passed-over",
        "unknown-does-not-clear",
        "after-clearing-it-counts-anew",
        "unknown-alone-says-nothing",
    ],
)
def test_opens_after_k_of_n_and_clears_after_m_clean(k: int, n: int, m: int, looks: str, expected: str) -> None:
    assert expected == told(Persistence(k, n, m), looks)


def test_a_hold_makes_the_first_and_the_opening_look_lie_apart() -> None:
    assert told(Persistence(1, 1, 1, hold_s=3.0), "bbbb") == "---o"


def test_since_is_the_first_bad_look_of_the_run() -> None:
    hold = Persistence(3, 4, 2)
    told(hold, "ccbcbb")
    assert hold.since_ns(np.array([0])).tolist() == [3 * NS]


def test_columns_do_not_know_of_each_other() -> None:
    hold = Persistence(2, 2, 1)
    both = np.array([0, 5])
    for second in (1, 2):
        opens, _ = hold.look(both, np.array([True, second == 2]), np.array([True, True]), np.array([second, second]))
    assert opens.tolist() == [0]
    assert hold.is_open(both).tolist() == [True, False]


def test_forgetting_starts_anew() -> None:
    hold = Persistence(2, 2, 1)
    told(hold, "bb")
    hold.forget(np.array([0]))
    assert told(hold, "cbb") == "--o"


def test_what_is_adopted_clears_after_m_clean_looks_and_not_by_unknown_ones() -> None:
    hold = Persistence(2, 3, 3)
    hold.adopt(np.array([7]))
    assert told(hold, "?c?bcc" + "c", column=7) == "------x"


def test_what_is_adopted_does_not_open_again_while_it_is_open() -> None:
    hold = Persistence(1, 1, 1)
    hold.adopt(np.array([0]))
    assert told(hold, "bbc") == "--x"


@pytest.mark.parametrize(("k", "n", "m"), [(0, 1, 1), (2, 1, 1), (1, 63, 1), (1, 1, 0)])
def test_impossible_numbers_are_refused(k: int, n: int, m: int) -> None:
    with pytest.raises(ValueError, match="persistence needs"):
        Persistence(k, n, m)


class Model:
    """One column, by hand."""

    def __init__(self, k: int, n: int, m: int, hold_s: float) -> None:
        self.k, self.n, self.m, self.hold_s = k, n, m, hold_s
        self.looks: list[bool] = []
        self.clean = 0
        self.since = 0
        self.open = False

    def look(self, bad: bool, known: bool, time_ns: int) -> str:
        if not known:
            return "-"
        if bad and not any(self.looks):
            self.since = time_ns
        self.looks = [*self.looks, bad][-self.n :]
        self.clean = 0 if bad else self.clean + 1
        if not self.open and bad and sum(self.looks) >= self.k and time_ns - self.since >= self.hold_s * NS:
            self.open = True
            return "o"
        if self.open and self.clean >= self.m:
            self.open = False
            self.looks = []
            return "x"
        return "-"


@given(
    st.integers(1, 5),
    st.integers(0, 4),
    st.integers(1, 4),
    st.sampled_from([0.0, 2.0, 5.0]),
    st.lists(st.lists(st.sampled_from("bc?."), min_size=3, max_size=3), max_size=60),
)
def test_three_columns_do_what_three_models_do(k: int, more: int, m: int, hold_s: float, rows: list[list[str]]) -> None:
    """A point: the column has no look at all at that instant."""
    hold = Persistence(k, k + more, m, hold_s)
    models = [Model(k, k + more, m, hold_s) for _ in range(3)]
    for second, row in enumerate(rows, start=1):
        here = [column for column in range(3) if row[column] != "."]
        expected = {c: models[c].look(row[c] == "b", row[c] != "?", second * NS) for c in here}
        cols = np.array(here, np.int64)
        bad, known = np.array([row[c] == "b" for c in here], bool), np.array([row[c] != "?" for c in here], bool)
        opens, clears = hold.look(cols, bad, known, np.full(len(here), second * NS))
        got = dict.fromkeys(here, "-")
        got |= {here[i]: "o" for i in opens.tolist()} | {here[i]: "x" for i in clears.tolist()}
        assert expected == got
        assert [models[c].open for c in range(3)] == hold.is_open(np.arange(3)).tolist()
