"""What a live collector listens to: a source that fails does not stop the others, and no line is left out."""

from pathlib import Path

import msgspec
import pytest

from collectors.errors import FixConfiguration, RetryLater
from collectors.kernel_log import KmsgPosition
from collectors.model import Event, EventKind, Subject, SubjectFacts, SubjectKind
from collectors.run_sources import RETRY_NS, Positions, Sources, SteadyLog, load_positions, save_positions
from collectors.settings import LogSettings, Settings
from collectors.tail import Position

NODE = Subject("prod", SubjectKind.NODE, "node-1")
GPU = Subject("prod", SubjectKind.GPU, "GPU-1")
T0 = 1_800_000_000_000_000_000
SECOND = 10**9


def sources(tmp_path: Path, **settings: object) -> Sources:
    quiet = Settings(cluster="prod", nvml=False, kmsg=None)
    return Sources(msgspec.structs.replace(quiet, **settings), NODE, "node-1", "boot-1", tmp_path / "positions.json")


def steps(events: list[Event]) -> list[float]:
    return [event.values["step"] for event in events if event.kind is EventKind.TRAINING_STEP]


def line(step: int) -> str:
    return f"{{'loss': 5.1, 'grad_norm': 9.3, 'step': {step}}}\n"


def poll(made: Sources, now_ns: int) -> list[Event]:
    return [event for log in made.logs for event in log.poll(now_ns)]


class FakeDevice:
    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.closed = False

    def poll(self, now_ns: int) -> list[Event]:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        self.closed = True


def test_a_device_that_fails_is_closed_and_opened_again_later() -> None:
    bad, good = FakeDevice([], RetryLater("gone")), FakeDevice([])
    devices = [bad, good]
    log = SteadyLog(lambda: devices.pop(0))
    assert [log.poll(T0), log.poll(T0 + 1)] == [[], []]
    assert bad.closed
    log.poll(T0 + RETRY_NS)
    assert devices == [good]
    log.poll(T0 + RETRY_NS + 1)
    assert devices == []
    log.close()
    assert good.closed


def test_a_device_that_cannot_be_opened_is_told_once_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    tried = []

    def refuse() -> FakeDevice:
        tried.append(1)
        raise FixConfiguration("no kernel log here")

    log = SteadyLog(refuse)
    for minute in range(3):
        log.poll(T0 + minute * RETRY_NS)
        log.poll(T0 + minute * RETRY_NS + 1)
    assert len(tried) == 3
    assert [record.getMessage() for record in caplog.records] == ["no kernel log here"]


def test_lines_of_two_files_of_one_pattern_go_to_one_job(tmp_path: Path) -> None:
    made = sources(tmp_path, logs=(LogSettings(str(tmp_path / "*.log"), "job-1"),))
    poll(made, T0)
    for name, step in (("a.log", 1), ("b.log", 2)):
        (tmp_path / name).write_text(line(step))
    events = poll(made, T0 + 5 * SECOND)
    assert sorted(steps(events)) == [1, 2]
    assert {Subject("prod", SubjectKind.JOB, "job-1")} == {event.subject for event in events}
    made.close()


def test_positions_are_written_only_after_their_events_had_time_to_leave(tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    log.write_text("")
    made = sources(tmp_path, logs=(LogSettings(str(log), "job-1"),))
    poll(made, T0)
    made.tend(T0, 2 * SECOND)
    assert not (tmp_path / "positions.json").exists()
    with log.open("a") as file:
        file.write(line(1))
    assert steps(poll(made, T0 + SECOND)) == [1]
    made.tend(T0 + 2 * SECOND, 2 * SECOND)
    made.close()
    # As after a crash now: what was saved was taken before the line, so the line is told again and not left out.
    again = sources(tmp_path, logs=(LogSettings(str(log), "job-1"),))
    assert steps(poll(again, T0 + 3 * SECOND)) == [1]
    again.save()
    again.close()
    last = sources(tmp_path, logs=(LogSettings(str(log), "job-1"),))
    assert steps(poll(last, T0 + 4 * SECOND)) == []
    last.close()


def test_a_gpu_that_fell_off_the_bus_is_still_known_by_its_address(tmp_path: Path) -> None:
    class Gpus:
        known = (SubjectFacts(GPU, "gpu0", NODE, {"pci_bus_id": "0000:18:00.0"}),)

        def facts(self) -> tuple[SubjectFacts, ...]:
            return self.known

    made = sources(tmp_path)
    gpus = Gpus()
    made.gpus.append(gpus)
    assert made._resolve_gpu("0000:18:00.0") == GPU
    gpus.known = ()
    assert made._resolve_gpu("0000:18:00.0") == GPU
    assert made._resolve_gpu("0000:3b:00.0") is None


def test_the_kernel_log_position_survives_a_restart(tmp_path: Path) -> None:
    position = KmsgPosition("boot-1", 41)
    save_positions(tmp_path / "positions.json", msgspec.json.encode(Positions(position)))
    made = sources(tmp_path)
    made.save()
    assert load_positions(tmp_path / "positions.json").kmsg == position


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"kmsg": 5}', b"\xff", b"[" * 100_000])
def test_positions_that_are_torn_are_passed_over(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "positions.json").write_bytes(content)
    assert load_positions(tmp_path / "positions.json") == Positions()


def test_positions_come_back_as_they_were_saved(tmp_path: Path) -> None:
    positions = Positions(KmsgPosition("b", 7), {"job\n*.log": {"/x/é.log": Position(1, 2, 3, b"\x00\xff")}})
    save_positions(tmp_path / "positions.json", msgspec.json.encode(positions))
    assert load_positions(tmp_path / "positions.json") == positions


def test_positions_that_cannot_be_saved_stop_nothing(tmp_path: Path) -> None:
    save_positions(tmp_path / "none" / "positions.json", b"{}")
    assert list(tmp_path.iterdir()) == []
