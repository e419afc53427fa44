"""Batches over real HTTP into a real agent: what is taken, what is refused, and that nothing counts twice."""

import contextlib
import http.client
import time

import pytest
from running_agent import NODE, TICK_NS, HeldWatch, RunningAgent, make_batch, numbered_event, wait_for

from agent.settings import IngestSettings, Settings, WatchSettings
from collectors.model import EventKind, Origin, Subject, SubjectKind
from collectors.wire import encode

pytestmark = pytest.mark.slow

HOUR_NS = 3_600_000_000_000


def test_a_sound_batch_is_acknowledged_and_reaches_the_watch(running: RunningAgent) -> None:
    assert running.send(make_batch(7)) == (200, {"acknowledged": 7, "duplicate": False})
    wait_for(lambda: (Origin.LIVE, "prod") in running.watches, "the watch")
    wait_for(lambda: len(running.watches[Origin.LIVE, "prod"].received) == 1, "the batch")


def test_a_repeat_is_acknowledged_again_and_counts_once(running: RunningAgent) -> None:
    batch = make_batch(7)
    running.send(batch)

    assert running.send(batch) == (200, {"acknowledged": 7, "duplicate": True})
    running.send(make_batch(8))
    watch = running.watches[Origin.LIVE, "prod"]
    wait_for(lambda: len(watch.received) >= 2, "the second batch")
    assert [batch.sequence for batch, _ in watch.received] == [7, 8]
    assert running.metric("watchstander_ingest_duplicates_total") == 1


def test_batches_out_of_order_are_all_taken(running: RunningAgent) -> None:
    for sequence in (5, 3, 4, 1, 2):
        assert running.send(make_batch(sequence)) == (200, {"acknowledged": sequence, "duplicate": False})
    wait_for(lambda: len(running.watches[Origin.LIVE, "prod"].received) == 5, "all five")


def test_receive_times_never_run_backwards(running: RunningAgent) -> None:
    for sequence in range(1, 20):
        running.send(make_batch(sequence))
    watch = running.watches[Origin.LIVE, "prod"]
    wait_for(lambda: len(watch.received) == 19, "all of them")
    times = [received_ns for _, received_ns in watch.received]
    assert times == sorted(times)


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        pytest.param(encode(make_batch())[:-7], 400, "zstd", id="torn"),
        pytest.param(b"", 400, "", id="empty"),
        pytest.param(b"{}" * 100, 400, "zstd", id="not-zstd"),
        pytest.param(b"\0" * (5 * 2**20), 413, "at most", id="oversized"),
        pytest.param(
            encode(make_batch(subjects=(NODE, Subject("other", SubjectKind.NODE, "x")))),
            422,
            "cluster",
            id="two-clusters",
        ),
    ],
)
def test_a_bad_body_is_refused_whole_with_one_line(running: RunningAgent, body: bytes, status: int, words: str) -> None:
    answered, said = running.send(body)

    assert answered == status
    assert words in said["error"]["what"]
    assert "\n" not in said["error"]["what"]
    assert running.metric("watchstander_ingest_batches_total") == 0


@pytest.mark.parametrize("length", [5 * 2**20, 200 * 2**20], ids=["a-little", "beyond-all-bounds"])
def test_a_body_that_grows_beyond_the_limit_while_it_streams_is_refused(running: RunningAgent, length: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)
    headers = {"authorization": f"Bearer {running.token}", "content-encoding": "zstd"}
    chunks = (b"\0" * 65536 for _ in range(length // 65536))
    # Beyond all bounds it hangs up: whether we still get to read the answer is a race, what it counts is not.
    with contextlib.suppress(*([ConnectionError] if length > 64 * 2**20 else [])):
        connection.request("POST", "/v1/batch", body=chunks, headers=headers, encode_chunked=True)
        assert connection.getresponse().status == 413
    connection.close()
    assert running.metric('watchstander_ingest_refused_total{reason="oversized"}') == 1


@pytest.mark.parametrize("encoding", ["", "gzip", "identity"])
def test_only_zstd_is_taken(running: RunningAgent, encoding: str) -> None:
    assert running.send(make_batch(), headers={"content-encoding": encoding})[0] == 415


def test_a_live_batch_from_hours_ahead_is_refused(running: RunningAgent) -> None:
    status, said = running.send(make_batch(sent_ns=time.time_ns() + 2 * HOUR_NS))

    assert (status, "ahead of the agent's" in said["error"]["what"]) == (422, True)


def test_a_clock_some_minutes_ahead_is_taken_and_shown(running: RunningAgent) -> None:
    assert running.send(make_batch(sent_ns=time.time_ns() + 300_000_000_000))[0] == 200
    assert 295 < running.metric("watchstander_node_clock_offset_seconds_max") < 301


def test_a_replay_may_bear_any_time(running: RunningAgent) -> None:
    assert running.send(make_batch(origin=Origin.REPLAY, sent_ns=time.time_ns() + 99 * HOUR_NS))[0] == 200
    assert running.send(make_batch(2, origin=Origin.REPLAY, sent_ns=1))[0] == 200


def test_live_and_replay_of_one_cluster_have_watches_of_their_own(running: RunningAgent) -> None:
    running.send(make_batch(1))
    running.send(make_batch(1, origin=Origin.REPLAY))
    wait_for(lambda: len(running.watches) == 2, "two watches")
    wait_for(lambda: all(len(watch.received) == 1 for watch in running.watches.values()), "a batch each")


def test_a_replay_ticks_by_its_own_clock(running: RunningAgent) -> None:
    begin = 1_000_000 * TICK_NS
    for sequence in range(5):
        sent_ns = begin + sequence * TICK_NS + 1
        running.send(make_batch(sequence, origin=Origin.REPLAY, sent_ns=sent_ns))
    watch = running.watches[Origin.REPLAY, "prod"]
    wait_for(lambda: len(watch.received) == 5, "all batches")

    assert watch.ticks == [(begin + tick * TICK_NS, tick) for tick in range(1, 5)]


def test_a_goodbye_makes_a_replay_look_at_its_last_batch(running: RunningAgent) -> None:
    goodbye = numbered_event(1, 1, EventKind.COLLECTOR_GOODBYE)
    running.send(make_batch(1, origin=Origin.REPLAY, sent_ns=7_000_000_000, events=(goodbye,)))

    wait_for(lambda: bool(running.watches), "the watch")
    watch = running.watches[Origin.REPLAY, "prod"]
    wait_for(lambda: watch.ticks == [(7_000_000_000, 1)], "the last look")


@pytest.mark.parametrize("agent_settings", [Settings(watch=WatchSettings(spaces=1))], ids=["one-watch"])
def test_no_room_for_one_more_watch_is_said_before_the_batch_is_taken(running: RunningAgent) -> None:
    assert running.send(make_batch(1))[0] == 200
    wait_for(lambda: len(running.watches) == 1, "the first watch")
    other = Subject("second", SubjectKind.NODE, "n")

    status, said = running.send(make_batch(1, node=other))

    assert (status, "too many watches" in said["error"]["what"]) == (503, True)


@pytest.mark.parametrize("agent_settings", [Settings(ingest=IngestSettings(backlog_bytes=1))], ids=["tiny-backlog"])
def test_an_agent_that_is_behind_says_when_to_come_back(running: RunningAgent) -> None:
    # The watch is held up by its first batch, so that the second stays in line.
    watch = running.watches.setdefault((Origin.LIVE, "prod"), HeldWatch())
    running.send(make_batch(1))
    running.send(make_batch(2))
    wait_for(lambda: running.send(make_batch(3))[0] == 503, "an agent that is behind")

    status, headers, _ = running.request(
        "POST", "/v1/batch", encode(make_batch(3)), headers={"content-encoding": "zstd"}
    )

    assert (status, headers["retry-after"]) == (503, "5")
    watch.go_on.set()
    wait_for(lambda: running.send(make_batch(3))[0] == 200, "an agent that has caught up")
