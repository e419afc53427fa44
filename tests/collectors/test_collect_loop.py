"""The live loop goes on whatever one look brings, and ends when asked."""

from pathlib import Path

import pytest

from collectors.errors import FixConfiguration
from collectors.run import Stop, _loop, read_boot_id, sleep_until


class FakeCollector:
    def __init__(self, stop: Stop, *answers: object) -> None:
        self.stop = stop
        self.answers = list(answers)

    def step(self, now_ns: int) -> list[object]:
        answer = self.answers.pop(0)
        if not self.answers:
            self.stop.ask()
        if isinstance(answer, Exception):
            raise answer
        return answer


class FakeDelivery:
    def __init__(self) -> None:
        self.got: list[object] = []
        self.tellings = 0

    def hand_over(self, batch: object) -> None:
        self.got.append(batch)

    def tell_losses(self, now_ns: int) -> None:
        self.tellings += 1


class FakeSources:
    def tend(self, now_ns: int, held_back_ns: int) -> None:
        pass


def test_an_unexpected_error_in_one_look_is_logged_and_the_next_look_is_taken(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stop, delivery = Stop(), FakeDelivery()
    collector = FakeCollector(stop, ["a"], ValueError("odd"), ["b", "c"])
    _loop(collector, FakeSources(), delivery, stop, 0)
    assert delivery.got == ["a", "b", "c"]
    assert "unexpected error, 1 so far; going on" in caplog.text


def test_errors_at_every_look_do_not_flood_the_log(caplog: pytest.LogCaptureFixture) -> None:
    stop = Stop()
    _loop(FakeCollector(stop, *[ValueError("odd")] * 4), FakeSources(), FakeDelivery(), stop, 0)
    assert len(caplog.records) == 1


def test_a_sleep_ends_when_asked_to_stop() -> None:
    stop = Stop()
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        stop.ask()

    sleep_until(1_000.0, stop, monotonic=lambda: 0.0, sleep=nap)
    assert naps == [0.25]


def test_a_boot_without_an_id_is_told(tmp_path: Path) -> None:
    with pytest.raises(FixConfiguration, match="mount /proc into the collector"):
        read_boot_id(tmp_path / "none")
