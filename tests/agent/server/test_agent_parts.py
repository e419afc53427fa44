"""Readings into chunks, sightings into rows, spaces that end, checkpoints."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from running_agent import NODE, SmallWatch, make_batch, numbered_event

from agent.server.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from agent.server.history import History
from agent.server.sightings import Sightings
from agent.server.spaces import Spaces
from collectors.model import Batch, EventKind, Origin, Subject, SubjectFacts, SubjectKind, Table

SECOND_NS = 1_000_000_000
DOCS = Path(__file__).parents[3] / "docs"
GPUS = tuple(Subject("prod", SubjectKind.GPU, f"gpu-{n}") for n in range(2))


def looks(*seconds: float, metric: str = "gpu_power_watts", origin: Origin = Origin.LIVE) -> Batch:
    """A batch with one look at two GPUs at each of these times; the values tell the time."""
    times = tuple(round(second * SECOND_NS) for second in seconds)
    values = np.array([[[second, second + 0.5]] for second in seconds], dtype="<f4")
    table = Table((metric,), (1, 2), times, values.tobytes())
    return Batch(1, origin, NODE, "boot", "spool", 1, times[-1], (NODE, *GPUS), tables=(table,))


def kept(chunks) -> list[tuple[float, float]]:
    return [
        (time / SECOND_NS, float(value))
        for chunk in chunks
        for time, value in zip(chunk.times_ns, chunk.values[:, 0, 0])
    ]


@given(st.lists(st.integers(1, 5000), unique=True, min_size=1).map(sorted))
def test_every_look_lands_in_exactly_one_chunk_and_chunks_are_sound(seconds: list[int]) -> None:
    history = History(600)
    chunks = [chunk for second in seconds for chunk in history.add(looks(second))]
    chunks += history.take_all()

    for chunk in chunks:
        chunk.check()
        assert chunk.times_ns[-1] - chunk.times_ns[0] < 600 * SECOND_NS
    assert kept(chunks) == [(second, second) for second in seconds]


def test_a_stretch_that_is_over_is_handed_out_without_waiting_for_more() -> None:
    history = History(600)
    history.add(looks(100))
    history.add(looks(100, origin=Origin.REPLAY))

    assert kept(history.take_before(50 * SECOND_NS)) == []
    assert kept(history.take_before(5_000 * SECOND_NS)) == [(100, 100)]
    assert len(history.take_all(Origin.REPLAY, "prod")) == 1


def test_looks_that_come_out_of_order_are_put_in_order_and_the_later_word_counts() -> None:
    history = History(600)
    for seconds in ((120, 121), (110, 111), (121, 122)):
        history.add(looks(*seconds))

    chunks = history.take_all()

    chunks[0].check()
    assert kept(chunks) == [(second, second) for second in (110, 111, 120, 121, 122)]


def test_what_is_stored_already_is_not_gathered_again() -> None:
    history = History(600)
    history.add(looks(100), stored_ns=10_000 * SECOND_NS)

    assert history.take_all() == []


def test_counters_stay_exact() -> None:
    history = History(600)
    table = Table(("gpu_energy_joules_total",), (1,), (SECOND_NS,), np.array([2**60 + 1], dtype="<i8").tobytes())
    history.add(Batch(1, Origin.LIVE, NODE, "boot", "spool", 1, 1, (NODE, *GPUS), tables=(table,)))

    chunk = history.take_all()[0]

    chunk.check()
    assert chunk.values.tolist() == [[[2**60 + 1]]]


def test_nodes_and_jobs_are_seen_with_what_is_known_of_them() -> None:
    job = Subject("prod", SubjectKind.JOB, "job")
    facts = (
        SubjectFacts(NODE, "gpu-node-17", attributes={"driver": "580.1"}),
        SubjectFacts(job, "llama", attributes={"world_size": "16"}),
    )
    sightings = Sightings()
    first = make_batch(1, subjects=(NODE, *GPUS), events=(numbered_event(41, 5),))
    sightings.see(msgspec.structs.replace(first, facts=facts), 10)
    sightings.see(make_batch(2, events=(numbered_event(42, 6),)), 20)

    nodes, jobs = sightings.take()

    assert [(n.name, n.driver, n.gpus, n.first_seen_ns, n.last_seen_ns) for n in nodes] == [
        ("gpu-node-17", "580.1", 2, 10, 20)
    ]
    assert [(j.name, j.world_size, j.last_step, j.last_step_ns, j.state) for j in jobs] == [
        ("llama", 16, 42, 6, "running")
    ]
    assert sightings.take() == ([], [])


@pytest.mark.parametrize(
    ("kinds", "state"),
    [
        ([EventKind.TRAINING_START], "running"),
        ([EventKind.TRAINING_START, EventKind.TRAINING_END], "ended"),
        ([EventKind.TRAINING_STEP, EventKind.TRACEBACK], "failed"),
        ([EventKind.TRACEBACK, EventKind.PROCESS_EXIT], "failed"),
        ([EventKind.TRACEBACK, EventKind.TRAINING_START], "running"),
    ],
)
def test_a_jobs_state_is_what_its_log_says(kinds: list[EventKind], state: str) -> None:
    sightings = Sightings()
    for kind in kinds:
        sightings.see(make_batch(events=(numbered_event(1, 1, kind),)), 1)

    assert [job.state for job in sightings.take()[1]] == [state]


def test_a_replay_that_has_ended_makes_room_and_begins_anew_the_next_time() -> None:
    made: list[SmallWatch] = []

    def make_watch(origin: Origin, cluster: str) -> SmallWatch:
        made.append(SmallWatch())
        return made[-1]

    spaces = Spaces(make_watch, most=1)
    goodbye = make_batch(
        1, origin=Origin.REPLAY, sent_ns=9, events=(numbered_event(1, 1, EventKind.COLLECTOR_GOODBYE),)
    )
    assert not spaces.full_for(Origin.REPLAY, "prod")
    spaces.space_for(goodbye).receive(goodbye, 100)

    assert not spaces.full_for(Origin.LIVE, "prod")
    again = make_batch(1, origin=Origin.REPLAY, sent_ns=3, spool_id="another")
    space = spaces.space_for(again)
    space.receive(again, 100)
    assert (len(made), len(spaces), space.now_ns) == (2, 1, 3)
    assert spaces.full_for(Origin.LIVE, "prod")


def test_a_checkpoint_is_read_back(tmp_path: Path) -> None:
    checkpoint = Checkpoint(17, {"prod": 5}, b"seen")
    save_checkpoint(tmp_path / "checkpoint", checkpoint)

    assert load_checkpoint(tmp_path / "checkpoint") == checkpoint
    assert load_checkpoint(tmp_path / "none") == Checkpoint()
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint"]
