"""PyTorch's watchdog over collectives, in the forms of 2.0 to 2.11.

    [rank0]:[E.. ProcessGroupNCCL.cpp:607] [Rank 0] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=1580,
    OpType=ALLREDUCE, NumelIn=466119168, NumelOut=.., Timeout(ms)=600000) ran for 600060 milliseconds before timing out.
    [PG ID 0 PG GUID 0(default_pg) Rank 1] ..
    [PG 1 Rank 0] Heartbeat monitor timed out! ..

The same timeout is printed again when the thread dies of it: it is told once.
"""

import re

from collectors.model import EventKind
from collectors.training_log.line import LogLine, Saying

_TIMEOUT = re.compile(
    r"Watchdog caught collective operation timeout: Work\w{0,16}\((?P<work>[^()]{0,400}(?:\(ms\)[^()]{0,100})?)\)"
    r" ran for (?P<ran>\d{1,12}) milliseconds",
    re.ASCII,
)
_FIELD = re.compile(r"(\w{1,32})(?:\(ms\))?=(-?\w{1,64})", re.ASCII)
_RANK = re.compile(r"\[(?:PG (?:ID )?\d{1,9} (?:PG GUID [^\[\]]{1,200}? )?)?Rank (\d{1,7})\]", re.ASCII)
_GROUP = re.compile(r"\[PG (?:ID )?(\d{1,9})(?: PG GUID ([^\[\]]{1,200}?))? Rank ", re.ASCII)
_STUCK = re.compile(r"watchdog got stuck for (\d{1,9}) seconds", re.ASCII)
_HEARTBEAT = "Heartbeat monitor timed out"
_REMEMBERED = 256


class Reader:
    """Reads one line at a time; remembers which timeouts it has told."""

    words = ("Watchdog caught", _HEARTBEAT, "watchdog got stuck")

    def __init__(self) -> None:
        self._told: dict[tuple[int | None, str, str], None] = {}

    def read(self, line: LogLine) -> list[Saying]:
        """One saying, or none."""
        text = line.text
        ranks = _RANK.findall(text)
        rank = int(ranks[-1]) if ranks else line.rank
        values: dict[str, float] = {} if rank is None else {"rank": float(rank)}
        attributes: dict[str, str] = {}
        if (group := _GROUP.search(text)) is not None:
            attributes["process_group"] = group[2] or group[1]
        timeout = _TIMEOUT.search(text)
        if timeout is not None:
            fields = dict(_FIELD.findall(timeout["work"]))
            if not self._is_new((rank, fields.get("SeqNum", ""), attributes.get("process_group", ""))):
                return []
            _put(values, "sequence_number", fields.get("SeqNum"))
            _put(values, "input_elements", fields.get("NumelIn"))
            _put(values, "output_elements", fields.get("NumelOut"))
            _put(values, "timeout_seconds", fields.get("Timeout"), 1e-3)
            _put(values, "ran_for_seconds", timeout["ran"], 1e-3)
            attributes["operation"] = fields.get("OpType", "")
            attributes["detail"] = "watchdog"
        elif (stuck := _STUCK.search(text)) is not None:
            _put(values, "ran_for_seconds", stuck[1])
            attributes["detail"] = "heartbeat monitor"
        elif _HEARTBEAT in text:
            attributes["detail"] = "heartbeat monitor"
        else:
            return []
        return [Saying(EventKind.COLLECTIVE_TIMEOUT, values, attributes, rank)]

    def _is_new(self, key: tuple[int | None, str, str]) -> bool:
        # The group is not in every form of the line, so a repeat is known by rank and sequence number alone.
        short = (key[0], key[1], "")
        if not key[1]:
            return True
        if short in self._told:
            return False
        if len(self._told) >= _REMEMBERED:
            self._told.clear()
        self._told[short] = None
        return True


def _put(values: dict[str, float], name: str, text: str | None, factor: float = 1.0) -> None:
    if text is not None and text.lstrip("-").isdigit():
        values[name] = int(text) * factor
