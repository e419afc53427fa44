"""A collector that is bound to a node speaks of that node's cards only."""

import pytest
from ingest_batches import NODE, OTHER_NODE, SECOND_NS, batch_of, gpu

from agent.ingest.clocks import ClockOffsets
from agent.ingest.placement import Placement
from collectors.model import Batch, Origin, SubjectFacts


def placed(lapses_after_seconds: float = 600) -> Placement:
    placement = Placement(lapses_after_seconds)
    placement.learn(batch_of(OTHER_NODE, subjects=(gpu("theirs"),)), 0)
    return placement


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        pytest.param(batch_of(subjects=(gpu("theirs"),)), "which is in node node-b", id="card-of-another"),
        pytest.param(batch_of(event_about=gpu("theirs")), "which is in node node-b", id="event-about-it"),
        pytest.param(batch_of(subjects=(OTHER_NODE,)), "speaks of node node-b", id="another-node"),
        pytest.param(batch_of(event_about=OTHER_NODE), "speaks of node node-b", id="event-about-a-node"),
        pytest.param(
            batch_of(facts=(SubjectFacts(gpu("new"), "gpu", OTHER_NODE),)), "places gpu new in node node-b", id="facts"
        ),
        pytest.param(batch_of(subjects=(gpu("new"),)), "", id="a-card-never-heard-of"),
        pytest.param(batch_of(subjects=(gpu("theirs"),), origin=Origin.REPLAY), "", id="a-replay"),
    ],
)
def test_it_says_what_is_out_of_place(batch: Batch, words: str) -> None:
    said = placed().misplaced(batch, SECOND_NS)

    assert words in said if words else said == ""


def test_a_card_that_its_node_no_longer_speaks_of_may_have_moved() -> None:
    placement = placed(lapses_after_seconds=600)
    moved = batch_of(subjects=(gpu("theirs"),))

    assert placement.misplaced(moved, 599 * SECOND_NS)
    assert placement.misplaced(moved, 600 * SECOND_NS) == ""
    placement.forget_lapsed(600 * SECOND_NS)
    assert len(placement) == 0


@pytest.mark.parametrize(
    ("late_seconds", "offset"),
    [
        pytest.param([0.2, 0.1, 0.3], 0.1, id="the-network-only-adds"),
        pytest.param([-5.0, -4.9], -5.0, id="a-node-ahead"),
        pytest.param([900.0, 0.1], 0.1, id="a-stay-in-the-spool"),
    ],
)
def test_a_clock_offset_is_the_least_delay_seen(late_seconds: list[float], offset: float) -> None:
    clocks = ClockOffsets()
    for n, late in enumerate(late_seconds):
        received_ns = (1000 + n) * SECOND_NS
        clocks.observe(NODE, received_ns - round(late * SECOND_NS), received_ns)

    assert clocks.offset_seconds(NODE) == pytest.approx(offset)
    assert clocks.worst_seconds() == pytest.approx(abs(offset))


def test_a_clock_that_was_set_right_is_right_after_two_windows() -> None:
    clocks = ClockOffsets(window_seconds=300)
    clocks.observe(NODE, 60 * SECOND_NS, 0)
    for minute in range(1, 13):
        now_ns = minute * 60 * SECOND_NS
        clocks.observe(NODE, now_ns, now_ns)

    assert clocks.offset_seconds(NODE) == 0.0
    assert clocks.offset_seconds(OTHER_NODE) is None
