"""Where batches wait while the disk fails: bounded, oldest readings dropped first, then oldest events."""

from collections import Counter, deque

from collectors.sending.segment import HAS_READINGS, RECORD_BYTES, Record


class MemoryQueue:
    """Records in order, at most `max_bytes` of them; the newest always finds room."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._records: deque[Record] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._records)

    def append(self, record: Record, losses: Counter[str]) -> None:
        """Keep a record; what has to go for it is counted in `losses` as `memory_full`."""
        while self._records and self._bytes + _size(record) > self._max_bytes:
            first_with_readings = next((i for i, r in enumerate(self._records) if r.flags & HAS_READINGS), 0)
            self._bytes -= _size(self._records[first_with_readings])
            del self._records[first_with_readings]
            losses["memory_full"] += 1
        self._records.append(record)
        self._bytes += _size(record)

    def oldest(self) -> Record | None:
        """The first record, or None."""
        return self._records[0] if self._records else None

    def acknowledge(self, sequence: int) -> None:
        """Let go of every record up to this number."""
        while self._records and self._records[0].sequence <= sequence:
            self._bytes -= _size(self._records.popleft())

    def records(self) -> tuple[Record, ...]:
        """All records, oldest first."""
        return tuple(self._records)

    def clear(self) -> None:
        """Let go of everything."""
        self._records.clear()
        self._bytes = 0


def _size(record: Record) -> int:
    return RECORD_BYTES + len(record.body)
