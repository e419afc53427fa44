"""When incidents are to be decided again though nothing about them has changed: waits, guards that let go, asks."""

import heapq


class Agenda:
    """Incidents by the time at which they are due. One time each, the last that was set."""

    def __init__(self) -> None:
        self._due: dict[str, int] = {}
        self._heap: list[tuple[int, str]] = []

    def __len__(self) -> int:
        return len(self._due)

    def put(self, incident: str, due_ns: int) -> None:
        """Decide it again at this time, Unix ns."""
        self._due[incident] = due_ns
        heapq.heappush(self._heap, (due_ns, incident))
        if len(self._heap) > 4 * len(self._due) + 64:
            self._heap = [(due, name) for name, due in self._due.items()]
            heapq.heapify(self._heap)

    def drop(self, incident: str) -> None:
        """It need not be decided again by itself."""
        self._due.pop(incident, None)

    def due(self, now_ns: int, most: int) -> tuple[str, ...]:
        """The first so many that are due, the longest due first. They stay until they are put anew or dropped."""
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        if not self._heap or self._heap[0][0] > now_ns:
            return ()
        found = [(due, name) for name, due in self._due.items() if due <= now_ns]
        return tuple(name for _, name in heapq.nsmallest(most, found))
