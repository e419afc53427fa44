"""How far each node's clock is from the agent's, as its batches show."""

from collections import OrderedDict

from collectors.model import Subject

_NANOSECONDS = 1_000_000_000
WINDOW_SECONDS = 300.0
_MOST_NODES = 50_000


class ClockOffsets:
    """Per node, the agent's clock less the node's, in seconds.

    A batch arrives later than it left, by the network and by any stay in the spool, so the least difference within a
    window is the one nearest to the truth.
    """

    def __init__(self, window_seconds: float = WINDOW_SECONDS) -> None:
        self._window_ns = int(window_seconds * _NANOSECONDS)
        self._held: OrderedDict[Subject, tuple[int, int, int]] = OrderedDict()
        """Node to: when its window began, the least difference in it, the least in the one before; ns."""

    def observe(self, node: Subject, sent_ns: int, received_ns: int) -> None:
        """One batch."""
        late = received_ns - sent_ns
        began, least, before = self._held.get(node, (received_ns, late, late))
        if received_ns - began >= self._window_ns:
            began, least, before = received_ns, late, least
        self._held[node] = (began, min(least, late), before)
        self._held.move_to_end(node)
        if len(self._held) > _MOST_NODES:
            self._held.popitem(last=False)

    def offset_seconds(self, node: Subject) -> float | None:
        """Agent's clock less the node's; None for a node never heard of."""
        held = self._held.get(node)
        return min(held[1], held[2]) / _NANOSECONDS if held is not None else None

    def worst_seconds(self) -> float:
        """The largest offset of all nodes, either way; 0.0 where there are none."""
        return max((abs(min(held[1], held[2])) for held in list(self._held.values())), default=0) / _NANOSECONDS
