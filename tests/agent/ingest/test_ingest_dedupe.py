"""What was seen is seen, what was not is not, and memory is bounded."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

import agent.ingest.dedupe
from agent.ingest.dedupe import Seen

RUN = ("live", "prod", "node", "boot", "spool")


@given(st.lists(st.integers(0, 60)))
def test_it_answers_as_a_set_would(sequences: list[int]) -> None:
    seen, truth = Seen(), set()
    for sequence in sequences:
        assert seen.add(RUN, sequence) is (sequence not in truth)
        truth.add(sequence)
    assert {n for n in range(-1, 62) if (RUN, n) in seen} == truth


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 30))))
def test_a_dump_brings_everything_back(pairs: list[tuple[str, int]]) -> None:
    seen, again = Seen(), Seen()
    for spool, sequence in pairs:
        seen.add((*RUN[:4], spool), sequence)

    again.load(seen.dump())

    assert all(((*RUN[:4], spool), sequence) in again for spool, sequence in pairs)
    assert again.dump() == seen.dump()


def test_each_part_of_the_key_makes_another_run() -> None:
    seen = Seen()
    seen.add(RUN, 1)
    for part in range(5):
        other = list(RUN)
        other[part] = "other"
        assert (tuple(other), 1) not in seen


def test_numbers_in_order_take_one_range_however_many_there_are() -> None:
    seen = Seen()
    for sequence in range(10_000):
        seen.add(RUN, sequence)
    assert len(seen.dump()) < 100


def test_of_too_many_gaps_the_lowest_is_forgotten() -> None:
    seen = Seen(gaps=3)
    for sequence in (0, 10, 20, 30):
        seen.add(RUN, sequence)
    assert [sequence for sequence in (0, 10, 20, 30) if (RUN, sequence) in seen] == [10, 20, 30]


def test_of_too_many_runs_the_one_silent_for_longest_is_forgotten() -> None:
    seen = Seen(runs=2)
    runs = [(*RUN[:4], name) for name in "abc"]
    seen.add(runs[0], 1)
    seen.add(runs[1], 1)
    seen.add(runs[0], 2)
    seen.add(runs[2], 1)
    assert [run[4] for run in runs if (run, 1) in seen] == ["a", "c"]


def test_garbage_is_no_dump() -> None:
    with pytest.raises(ValueError, match=r"\w"):
        Seen().load(b"\xc1garbage")


def test_the_example_in_the_docstring_holds() -> None:
    assert doctest.testmod(agent.ingest.dedupe).failed == 0
