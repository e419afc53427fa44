"""Training-log lines to events."""

from dataclasses import dataclass

from collectors import log_time
from collectors.masking import evidence
from collectors.model import Event, EventSource, Subject
from collectors.training_log import formats, lines
from collectors.training_log.discovery import readers
from collectors.training_log.line import LineReader, LogLine, Saying
from collectors.training_log.unwrap import Unwrapper

_ADVICE = (
    "CUDA kernel errors might be asynchronously reported",
    "For debugging consider passing CUDA_LAUNCH_BLOCKING",
    "Compile with `TORCH_USE_CUDA_DSA`",
    "Device-side assertion tracking was not enabled by user",
)
"""What PyTorch adds to every CUDA error: advice, never itself a sign of a fault."""
_FUTURE_NS = 60 * 1_000_000_000
"""A line's own time further ahead of the moment it was read is of another time zone; the latter is believed then."""


@dataclass(slots=True)
class TrainingLogCounters:
    """What became of the lines. One line may yield several events, and most yield none."""

    lines: int = 0
    steps: int = 0
    events: int = 0
    """Events other than steps."""
    passed_over: int = 0


class TrainingLogParser:
    """Turns the log of one job, or of one of its ranks, into events about the job.

    `rank` is that of lines which name none, where the file is known to be one rank's.

    >>> from collectors.model import Subject, SubjectKind
    >>> parser = TrainingLogParser(Subject("prod", SubjectKind.JOB, "job-1"))
    >>> [event] = parser.parse(b"2026-11-22T03:12:44.9Z {'loss': 5.1, 'grad_norm': 9.3, 'step': 4}", 0)
    >>> event.kind.value, event.time_ns, event.values
    ('training_step', 1795317164900000000, {'loss': 5.1, 'grad_norm': 9.3, 'step': 4.0})
    """

    def __init__(self, job: Subject, rank: int | None = None) -> None:
        self.counters = TrainingLogCounters()
        self._job = job
        self._unwrapper = Unwrapper(rank)
        self._formats = readers(formats)
        self._lines = readers(lines)

    def parse(self, line: bytes, seen_ns: int) -> list[Event]:
        """One raw line without its line break. `seen_ns`: when it was read, Unix ns; the event's time if neither the
        container runtime nor the line tells a better one."""
        self.counters.lines += 1
        unwrapped = self._unwrapper.unwrap(line)
        events: list[Event] = []
        for piece in unwrapped.lines:
            events.extend(self._read(piece, unwrapped.time_ns, seen_ns))
        if not events:
            self.counters.passed_over += 1
        return events

    def _read(self, line: LogLine, container_ns: int | None, seen_ns: int) -> list[Event]:
        said = _ask(self._formats, line)
        self.counters.steps += len(said)
        if not said and not any(advice in line.text for advice in _ADVICE):
            said = _ask(self._lines, line, all_of_them=True)
            self.counters.events += len(said)
        if not said:
            return []
        time_ns = container_ns if container_ns is not None else _own_time(line.text, seen_ns)
        return [self._event(saying, line, time_ns) for saying in said]

    def _event(self, saying: Saying, line: LogLine, time_ns: int) -> Event:
        attributes = {name: evidence(text, 500) for name, text in saying.attributes.items() if text}
        rank = saying.rank if saying.rank is not None else line.rank
        if rank is not None:
            attributes["rank"] = str(rank)
        return Event(
            kind=saying.kind,
            subject=self._job,
            time_ns=time_ns,
            source=EventSource.TRAINING_LOG,
            values=saying.values,
            attributes=attributes,
            line=evidence(line.writer + line.text),
        )


def _ask(asked: list[LineReader], line: LogLine, *, all_of_them: bool = False) -> list[Saying]:
    said: list[Saying] = []
    text = line.text
    for reader in asked:
        for word in reader.words:
            if word in text:
                break
        else:
            continue
        said.extend(reader.read(line))
        if said and not all_of_them:
            break
    return said


def _own_time(text: str, seen_ns: int) -> int:
    own_ns = log_time.in_line(text, seen_ns)
    return own_ns if own_ns is not None and own_ns <= seen_ns + _FUTURE_NS else seen_ns
