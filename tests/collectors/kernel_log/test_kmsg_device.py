"""Following /dev/kmsg: records one by one, resumed, overwritten, failing."""

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from collectors.errors import FixConfiguration, RetryLater
from collectors.kernel_log import KernelLogParser, KmsgDevice, KmsgPosition
from collectors.model import Subject, SubjectKind

NODE = Subject("prod", SubjectKind.NODE, "node-uid")


def record(sequence: int, text: str = "NVRM: Xid (PCI:0000:18:00): 31, pid=1, name=x, y") -> bytes:
    return f"4,{sequence},{sequence * 1000},-;{text}\n SUBSYSTEM=pci\n".encode()


class FakeKmsg:
    """Hands out records as the device does; an exception in the list is raised, its end is "nothing more yet"."""

    def __init__(self, *says: bytes | OSError) -> None:
        self.says: Iterator[bytes | OSError] = iter(says)

    def read(self, fd: int, size: int) -> bytes:
        said = next(self.says, BlockingIOError(errno.EAGAIN, "nothing yet"))
        if isinstance(said, OSError):
            raise said
        return said


@pytest.fixture
def open_device(tmp_path: Path):
    path = tmp_path / "kmsg"
    path.touch()
    opened: list[KmsgDevice] = []

    def open_one(fake: FakeKmsg, resume: KmsgPosition | None = None) -> KmsgDevice:
        parser = KernelLogParser(NODE, lambda address: None, 0)
        opened.append(KmsgDevice(parser, "boot-1", resume, str(path), fake.read))
        return opened[-1]

    yield open_one
    for device in opened:
        device.close()


def times(device: KmsgDevice) -> list[int]:
    return [event.time_ns // 1_000_000 for event in device.poll(10**18)]


def test_first_sight_begins_at_the_oldest_record_of_the_ring(open_device):
    assert times(open_device(FakeKmsg(record(5), record(6)))) == [5, 6]


def test_a_device_resumes_behind_the_last_record_it_told(open_device):
    first = open_device(FakeKmsg(record(5), record(6)))
    first.poll(0)

    again = open_device(FakeKmsg(record(5), record(6), record(7)), first.position())

    assert times(again) == [7]
    assert again.lost == 0


def test_after_a_reboot_sequence_numbers_begin_anew(open_device):
    assert times(open_device(FakeKmsg(record(1)), KmsgPosition("boot-0", 900))) == [1]


def test_records_overwritten_before_they_were_read_are_counted_as_lost(open_device):
    device = open_device(FakeKmsg(record(5), BrokenPipeError(errno.EPIPE, "overwritten"), record(9)))

    assert times(device) == [5, 9]
    assert device.lost == 3


def test_records_lost_while_the_collector_was_away_are_counted_too(open_device):
    device = open_device(FakeKmsg(record(20)), KmsgPosition("boot-1", 9))

    assert times(device) == [20]
    assert device.lost == 10


def test_a_poll_goes_on_where_the_last_one_found_nothing(open_device):
    fake = FakeKmsg(record(1), BlockingIOError(errno.EAGAIN, "nothing yet"), record(2))
    device = open_device(fake)

    assert times(device) == [1]
    assert times(device) == [2]


def test_a_device_that_fails_is_to_be_asked_again_later(open_device):
    with pytest.raises(RetryLater, match="could not be read"):
        open_device(FakeKmsg(OSError(errno.EIO, "Input/output error"))).poll(0)


def test_a_device_that_is_not_there_names_path_and_remedy(tmp_path: Path):
    with pytest.raises(FixConfiguration, match=r"cannot read the kernel log .*absent.*CAP_SYSLOG"):
        KmsgDevice(KernelLogParser(NODE, lambda address: None, 0), "boot-1", path=str(tmp_path / "absent"))
