"""Recordings of batches on their way to an agent: in order, as a replay, whole, and ended where they end."""

from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
import pytest
from raw_server import CLOSE, OK, RawServer, Request, answer

from collectors.errors import FixConfiguration, GiveUp, RetryLater
from collectors.model import (
    WIRE_VERSION,
    Batch,
    Event,
    EventKind,
    EventSource,
    Origin,
    Subject,
    SubjectKind,
)
from collectors.recording.batches import BatchRecording, BatchWriter
from collectors.run import Stop
from collectors.run_batches import CELL_NS, play_batches, told_as_replay
from collectors.sending.endpoint import Endpoint
from collectors.wire import decode, encode

START = 1_795_392_000
S = 10**9
NODES = [Subject("c", SubjectKind.NODE, f"n{n}") for n in range(3)]


def batch(number: int, *events: Event, late_s: float = 0.0) -> Batch:
    node = NODES[number % 3]
    sent_ns = (START + number) * S - int(late_s * S)
    return Batch(WIRE_VERSION, Origin.LIVE, node, "boot", f"spool-{node.id}", number, sent_ns, (node,), events=events)


def goodbye(number: int) -> Event:
    return Event(EventKind.COLLECTOR_GOODBYE, NODES[number % 3], (START + number) * S, EventSource.COLLECTOR)


def written(folder: Path, batches: Iterable[Batch]) -> BatchRecording:
    folder.mkdir(exist_ok=True)
    with BatchWriter(folder) as writer:
        for one in batches:
            writer.write((START + one.sequence) * S + S // 4, encode(one))
    meta = {"cluster": "c", "start_unix": START, "end_unix": START + 60}
    (folder / "meta.json").write_bytes(msgspec.json.encode(meta))
    return BatchRecording(folder)


@pytest.fixture
def endpoint(tmp_path: Path) -> Callable[[RawServer], Endpoint]:
    token = tmp_path / "token"
    token.write_text("t" * 40)
    return lambda server: Endpoint.parse(server.url, token)


def sent(server: RawServer) -> list[Batch]:
    return [decode(request.body) for request in server.requests]


def test_every_batch_is_a_replay_that_left_when_the_agent_of_the_day_took_it_in(tmp_path: Path) -> None:
    told = list(told_as_replay(written(tmp_path / "r", [batch(n, late_s=30) for n in range(6)])))
    own = [one for one in told if "conductor" not in one.spool_id and not one.events]

    assert {one.origin for one in told} == {Origin.REPLAY}
    assert [(one.sequence, one.sent_ns) for one in own] == [(n, (START + n) * S + S // 4) for n in range(6)]
    assert [one.sent_ns for one in told] == sorted(one.sent_ns for one in told)


def test_one_spool_speaks_from_beginning_to_end_so_that_a_goodbye_on_the_way_ends_nothing(tmp_path: Path) -> None:
    told = list(told_as_replay(written(tmp_path / "r", [batch(0, goodbye(0)), batch(3), batch(4)])))
    speaking: set[str] = set()
    ended = []
    for one in told:
        speaking.add(one.spool_id)
        if any(event.kind is EventKind.COLLECTOR_GOODBYE for event in one.events):
            speaking.discard(one.spool_id)
        ended.append(not speaking)

    assert ended == [False] * (len(told) - 1) + [True]


def test_playing_it_again_is_no_repeat(tmp_path: Path) -> None:
    recording = written(tmp_path / "r", [batch(n) for n in range(3)])
    first, second = ({(one.spool_id, one.sequence) for one in told_as_replay(recording)} for _ in range(2))

    assert not first & second


def test_an_empty_recording_sends_nothing(tmp_path: Path) -> None:
    assert list(told_as_replay(written(tmp_path / "r", []))) == []


def test_all_arrives_half_second_by_half_second_and_each_nodes_in_order(tmp_path: Path, endpoint) -> None:
    recording = written(tmp_path / "r", [batch(n) for n in range(30)])
    told: list[int] = []
    with RawServer() as server:
        assert play_batches(recording, endpoint(server), speed=0, stop=Stop(), tell=lambda _, count: told.append(count))
        arrived = sent(server)

    assert [one.sent_ns // CELL_NS for one in arrived] == sorted(one.sent_ns // CELL_NS for one in arrived)
    for node in NODES:
        numbers = [one.sequence for one in arrived if one.node == node and "spool-" in one.spool_id]
        assert numbers == sorted(numbers)
    assert told[-1] == len(arrived) == 30 + 1 + 4


def test_an_agent_that_is_busy_or_hangs_up_is_asked_again_and_nothing_is_lost(tmp_path: Path, endpoint) -> None:
    said = iter([answer(503), CLOSE, answer(429), *[OK] * 100])
    recording = written(tmp_path / "r", [batch(n) for n in range(3)])
    with RawServer(behaviour=lambda _: next(said)) as server:
        assert play_batches(recording, endpoint(server), speed=0, stop=Stop())
        arrived = sent(server)

    assert {one.sequence for one in arrived if "spool-" in one.spool_id} >= {0, 1, 2}
    assert len(arrived) == 3 + 1 + 4 + 3


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_that_may_not_ends_it_at_once_and_says_which_one_may(tmp_path: Path, endpoint, status: int) -> None:
    with RawServer(behaviour=lambda _: answer(status, body=b"it may speak of one node")) as server:
        with pytest.raises(FixConfiguration, match="bound to no node"):
            play_batches(written(tmp_path / "r", [batch(0)]), endpoint(server), speed=0, stop=Stop())
        assert len(server.requests) == 1


def test_what_is_refused_for_good_is_told_at_the_end_and_the_rest_arrives(tmp_path: Path, endpoint) -> None:
    def refuses_one(request: Request) -> bytes:
        one = decode(request.body)
        return answer(400, body=b"no") if one.node == NODES[1] and not one.events else OK

    with RawServer(behaviour=refuses_one) as server:
        with pytest.raises(GiveUp, match="refused 1 batches for good; the first with 400: no"):
            play_batches(
                written(tmp_path / "r", [batch(n) for n in (0, 1, 2, 5)]), endpoint(server), speed=0, stop=Stop()
            )
        assert {5, 2, 0} <= {one.sequence for one in sent(server)}


def test_an_agent_that_stays_away_is_given_up(tmp_path: Path, endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collectors.run_batches.PATIENCE_SECONDS", 0.0)
    with RawServer() as server:
        gone = endpoint(server)
    with pytest.raises(RetryLater, match="takes nothing"):
        play_batches(written(tmp_path / "r", [batch(0)]), gone, speed=0, stop=Stop())
