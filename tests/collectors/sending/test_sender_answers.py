"""What each answer of the agent does to a batch: gone, kept, or put aside. Real sockets, a clock that is told."""

import logging
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from raw_server import CERTIFICATE, CLOSE, HANG, OK, RawServer, Request, answer
from sending_helpers import FakeClock, batch_of, numbers

from collectors.sending.endpoint import Endpoint
from collectors.sending.quarantine import Quarantine
from collectors.sending.sender import CONNECTION_SECONDS, LONGEST_WAIT_SECONDS, NOW_HEADER, Sender
from collectors.sending.spool import Spool
from collectors.wire import CONTENT_TYPE, decode

NOW_NS = 1_800_000_000_000_000_000


def longest(_least: float, most: float) -> float:
    return most


class Bench:
    """A spool, a sender and what it needs, without a thread."""

    def __init__(self, folder: Path, clock: FakeClock) -> None:
        self.clock = clock
        self.token_file = folder / "token"
        self.token_file.write_text("first-token\n")
        self.spool = Spool(folder / "spool")
        self.quarantine = Quarantine(folder / "quarantine")

    def sender(self, url: str, **settings) -> Sender:
        endpoint = Endpoint.parse(url, self.token_file, **({"timeout_seconds": 0.3} | settings))
        self.made = Sender(
            self.spool, self.quarantine, endpoint, now_ns=lambda: NOW_NS, monotonic=self.clock, uniform=longest
        )
        return self.made


@pytest.fixture
def bench(tmp_path: Path, clock: FakeClock) -> Iterator[Bench]:
    made = Bench(tmp_path, clock)
    yield made
    made.made.stop()
    made.spool.close()


def arrived(server: RawServer) -> list[int]:
    return numbers([decode(request.body) for request in server.requests])


def test_nothing_waits_means_nothing_to_do(bench: Bench) -> None:
    assert bench.sender("http://127.0.0.1:1").send_next() is None


def test_batches_arrive_in_order_over_one_connection(bench: Bench) -> None:
    for i in range(3):
        bench.spool.append(batch_of(i))
    with RawServer() as server:
        sender = bench.sender(server.url)
        assert [sender.send_next() for _ in range(4)] == [0.0, 0.0, 0.0, None]
        assert arrived(server) == [0, 1, 2]
        assert server.connections == 1
    assert bench.spool.waiting_batches == 0
    assert dict(sender.counts) == {"sent": 3}


def test_a_request_says_what_it_bears_and_who_sends_it(bench: Bench) -> None:
    bench.spool.append(batch_of(0))
    with RawServer() as server:
        bench.sender(server.url + "/behind/a/proxy/").send_next()
        (request,) = server.requests
    assert request.path == "/behind/a/proxy/v1/batch"
    assert request.headers["authorization"] == "Bearer first-token"
    assert request.headers["content-type"] == CONTENT_TYPE == "application/vnd.watchstander.batch"
    assert request.headers["content-encoding"] == "zstd"
    assert request.headers[NOW_HEADER] == str(NOW_NS)


@pytest.mark.parametrize(
    "reply",
    [answer(200), answer(202), answer(204), answer(200, body=b'{"ok":true}'), b"HTTP/1.0 200 OK\r\n\r\nfine"],
    ids=["200", "202", "204", "body", "http-1.0"],
)
def test_2xx_lets_a_batch_go(bench: Bench, reply: bytes) -> None:
    bench.spool.append(batch_of(0))
    bench.spool.append(batch_of(1))
    with RawServer(lambda _: reply) as server:
        sender = bench.sender(server.url)
        assert [sender.send_next() for _ in range(3)] == [0.0, 0.0, None]
        assert arrived(server) == [0, 1]


KEPT = {
    "301": (answer(301, location="/elsewhere"), r"is agent.url the address of a Watchstander agent\?"),
    "401": (answer(401, body=b"who?"), "answers 401 Said: who.; check agent.token_file"),
    "403": (answer(403), "answers 403 Said; check agent.token_file"),
    "404": (answer(404), "is agent.url the address"),
    "407": (answer(407), "is agent.url the address"),
    "408": (answer(408), "answers 408"),
    "429": (answer(429), "answers 429"),
    "500": (answer(500, body=b"disk\n\x1b[31mfull"), "answers 500 Said: disk  .31mfull"),
    "503": (answer(503), "answers 503"),
    "599": (answer(599), "answers 599"),
    "421 without a leader": (answer(421), "is not the leader and names none"),
    "421 to a bad address": (answer(421, location="ftp://x"), "agent.url 'ftp://x': write https"),
    "421 in the clear": (answer(421, location="http://192.0.2.1:80"), "would send the token in the clear"),
    "closed": (CLOSE, "RemoteDisconnected"),
    "hangs": (HANG, "no answer in time"),
    "closed mid-body": (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf", "IncompleteRead"),
    "closed mid-status": (b"HTTP/1.1 20", "BadStatusLine"),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "BadStatusLine"),
    "long status line": (b"HTTP/1.1 200 " + b"x" * 70_000, "LineTooLong"),
    "too many headers": (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\n", "HTTPException"),
    "bad length": (b"HTTP/1.1 nonsense\r\n\r\n", "BadStatusLine"),
    "torn chunks": (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", "IncompleteRead|ValueError"),
}


@pytest.mark.parametrize("name", KEPT)
def test_a_batch_is_kept_and_the_log_says_why(bench: Bench, name: str, caplog: pytest.LogCaptureFixture) -> None:
    reply, message = KEPT[name]
    bench.spool.append(batch_of(0))
    with RawServer(lambda _: reply) as server:
        wait = bench.sender(server.url).send_next()
    assert wait == 0.5
    assert bench.spool.waiting_batches == 1
    assert bench.quarantine.refused == 0
    (line,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert "\n" not in line
    assert "first-token" not in line
    assert f"http://127.0.0.1:{server.port}" in line
    assert line.endswith("1 batches wait, next attempt in 0.5 s")
    assert re.search(message, line), line


@pytest.mark.parametrize("status", [400, 402, 409, 410, 413, 415, 422, 451])
def test_a_batch_refused_for_good_is_put_aside_and_the_next_goes_on(bench: Bench, status: int) -> None:
    for i in range(3):
        bench.spool.append(batch_of(i))

    def refuse_the_second(request: Request) -> bytes:
        return answer(status, "No", body=b"batch refused: it is bad") if decode(request.body).sent_ns == 1 else OK

    with RawServer(refuse_the_second) as server:
        sender = bench.sender(server.url)
        while sender.send_next() is not None:
            pass
        assert arrived(server) == [0, 1, 2]
    (path,) = bench.quarantine.batches()
    assert decode(path.read_bytes()).sent_ns == 1
    assert f"answers {status} No: batch refused: it is bad" in path.with_suffix(".reason").read_text()
    assert dict(sender.counts) == {"sent": 2, "refused": 1}


def test_a_refused_connection_is_no_loss(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.spool.append(batch_of(0))
    with RawServer() as server:
        url = server.url
    assert bench.sender(url).send_next() == 0.5
    assert "Connection refused" in caplog.text
    assert bench.spool.waiting_batches == 1


def test_waits_double_up_to_a_minute_and_begin_anew_after_success(bench: Bench) -> None:
    bench.spool.append(batch_of(0))
    bench.spool.append(batch_of(1))
    replies = [answer(500)] * 9 + [OK, answer(500)]
    with RawServer(lambda _: replies.pop(0)) as server:
        sender = bench.sender(server.url)
        waits = [sender.send_next() for _ in range(11)]
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, LONGEST_WAIT_SECONDS, LONGEST_WAIT_SECONDS, 0.0, 0.5]


def test_waits_are_drawn_between_half_and_whole(bench: Bench) -> None:
    asked: list[tuple[float, float]] = []

    def draw(least: float, most: float) -> float:
        asked.append((least, most))
        return least

    bench.spool.append(batch_of(0))
    with RawServer(lambda _: answer(500)) as server:
        sender = bench.sender(server.url)
        sender._uniform = draw
        sender.send_next()
        sender.send_next()
    assert asked == [(0.25, 0.5), (0.5, 1.0)]


@pytest.mark.parametrize(
    ("value", "least"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("86400", 300.0),
        ("Fri, 15 Jan 2027 08:00:30 GMT", 30.0),
        ("Fri, 15 Jan 2020 08:00:30 GMT", 0.0),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_honoured(bench: Bench, status: int, value: str, least: float) -> None:
    bench.spool.append(batch_of(0))
    with RawServer(lambda _: answer(status, retry_after=value)) as server:
        wait = bench.sender(server.url).send_next()
    assert wait is not None
    assert least <= wait <= least + max(1.0, least / 10)


@pytest.mark.parametrize("value", ["soon", "-5", "Fri, 99 Foo", "١٢"])
def test_a_retry_after_that_makes_no_sense_is_passed_over(bench: Bench, value: str) -> None:
    bench.spool.append(batch_of(0))
    reply = f"HTTP/1.1 429 No\r\ncontent-length: 0\r\nretry-after: {value}\r\n\r\n".encode()
    with RawServer(lambda _: reply) as server:
        assert bench.sender(server.url).send_next() == 0.5


def test_a_new_token_is_used_as_soon_as_the_old_one_is_refused(bench: Bench) -> None:
    def only_the_second(request: Request) -> bytes:
        return OK if request.headers["authorization"] == "Bearer second-token" else answer(401)

    bench.spool.append(batch_of(0))
    with RawServer(only_the_second) as server:
        sender = bench.sender(server.url)
        assert sender.send_next() == 0.5
        bench.token_file.write_text("second-token")
        assert sender.send_next() == 0.0


def test_a_token_that_was_exchanged_under_an_open_connection_costs_no_wait(bench: Bench) -> None:
    good = "first-token"
    bench.spool.append(batch_of(0))
    bench.spool.append(batch_of(1))
    with RawServer(lambda r: OK if r.headers["authorization"] == f"Bearer {good}" else answer(401)) as server:
        sender = bench.sender(server.url)
        assert sender.send_next() == 0.0
        good = "second-token"
        bench.token_file.write_text(good)
        assert sender.send_next() == 0.0
        assert bench.spool.waiting_batches == 0


def test_a_connection_is_renewed_so_that_a_new_token_is_used_in_time(bench: Bench) -> None:
    for i in range(2):
        bench.spool.append(batch_of(i))
    with RawServer() as server:
        sender = bench.sender(server.url)
        sender.send_next()
        bench.token_file.write_text("second-token")
        bench.clock.now += CONNECTION_SECONDS
        sender.send_next()
        assert [r.headers["authorization"] for r in server.requests] == ["Bearer first-token", "Bearer second-token"]


@pytest.mark.parametrize("content", [None, "", "  \n", "two words", "a\nb", "naïve", "x" * 70_000])
def test_without_a_token_nothing_is_sent_and_the_log_names_the_file(
    bench: Bench, content: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    bench.spool.append(batch_of(0))
    with RawServer() as server:
        sender = bench.sender(server.url)
        bench.token_file.unlink()
        if content is not None:
            bench.token_file.write_text(content)
        assert sender.send_next() == 0.5
        assert server.requests == []
    assert f"agent.token_file {bench.token_file}" in caplog.text


def test_a_connection_that_died_while_idle_is_made_anew_at_once(bench: Bench) -> None:
    for i in range(3):
        bench.spool.append(batch_of(i))
    with RawServer(close_after_answer=True) as server:
        sender = bench.sender(server.url)
        assert [sender.send_next() for _ in range(3)] == [0.0, 0.0, 0.0]
        assert arrived(server) == [0, 1, 2]


@pytest.mark.parametrize("header", ["location", "watchstander_leader"])
def test_a_standby_sends_us_to_the_leader_and_we_stay_there(bench: Bench, header: str) -> None:
    for i in range(3):
        bench.spool.append(batch_of(i))
    with RawServer() as leader, RawServer() as standby:
        address = f"{leader.url}/v1/batch" if header == "location" else f"127.0.0.1:{leader.port}"
        standby.behaviour = lambda _: answer(421, **{header: address})
        sender = bench.sender(standby.url)
        while sender.send_next() is not None:
            pass
        assert arrived(leader) == [0, 1, 2]
        assert {"/v1/batch"} == {request.path for request in leader.requests}
        assert len(standby.requests) == 1


def test_when_the_leader_goes_away_the_configured_address_is_asked_again(bench: Bench) -> None:
    bench.spool.append(batch_of(0))
    bench.spool.append(batch_of(1))
    with RawServer() as standby:
        with RawServer() as leader:
            standby.behaviour = lambda _: answer(421, location=leader.url)
            sender = bench.sender(standby.url)
            assert [sender.send_next() for _ in range(2)] == [0.0, 0.0]
        standby.behaviour = lambda _: OK
        assert sender.send_next() == 0.5
        assert sender.send_next() == 0.0
        assert arrived(standby) == [0, 1]


def test_two_standbys_that_name_each_other_are_not_followed_for_ever(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.spool.append(batch_of(0))
    with RawServer() as one, RawServer() as other:
        one.behaviour = lambda _: answer(421, location=other.url)
        other.behaviour = lambda _: answer(421, location=one.url)
        sender = bench.sender(one.url)
        assert [sender.send_next() for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
    assert "sent on 3 times and still not at the leader" in caplog.text


def test_tls_with_the_right_ca_works(bench: Bench) -> None:
    bench.spool.append(batch_of(0))
    with RawServer(tls=True) as server:
        assert bench.sender(server.url, ca_file=CERTIFICATE).send_next() == 0.0


def test_tls_with_another_ca_sends_nothing(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.spool.append(batch_of(0))
    with RawServer(tls=True) as server:
        assert bench.sender(server.url).send_next() == 0.5
        assert server.requests == []
    assert "certificate not accepted" in caplog.text
    assert "check agent.ca_file" in caplog.text


def test_https_never_follows_a_leader_to_http(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.spool.append(batch_of(0))
    with RawServer() as plain, RawServer(lambda _: answer(421, location=plain.url), tls=True) as server:
        assert bench.sender(server.url, ca_file=CERTIFICATE).send_next() == 0.5
        assert plain.requests == []
    assert "not followed from https to http" in caplog.text


def test_a_trouble_that_stays_is_told_once_a_minute_and_its_end_once(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.spool.append(batch_of(0))
    replies = [answer(500)] * 5 + [OK]
    with RawServer(lambda _: replies.pop(0)) as server:
        sender = bench.sender(server.url)
        for _ in range(6):
            sender.send_next()
            bench.clock.now += 20
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 3
    assert "takes batches again" in told[-1]


def test_the_thread_sends_what_comes_and_flush_waits_for_it(bench: Bench) -> None:
    with RawServer() as server:
        sender = bench.sender(server.url)
        sender._monotonic = time.monotonic
        sender.start()
        for i in range(20):
            bench.spool.append(batch_of(i))
            sender.wake()
        assert sender.flush(30.0)
        assert arrived(server) == list(range(20))
        sender.stop()


def test_flush_gives_up_at_its_deadline(bench: Bench) -> None:
    bench.spool.append(batch_of(0))
    with RawServer(lambda _: answer(429, retry_after="100")) as server:
        sender = bench.sender(server.url)
        sender._monotonic = time.monotonic
        sender.start()
        assert not sender.flush(0.3)
        sender.stop()
    assert bench.spool.waiting_batches == 1
