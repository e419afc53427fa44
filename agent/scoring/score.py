"""The figures of a score, and how they are told."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from agent.scoring.bound import most_events, percentile
from agent.scoring.match import Match, Matched


@dataclass(frozen=True, slots=True)
class Score:
    """Incidents against truth."""

    matched: Matched
    nodes: int
    seconds: float

    @property
    def node_days(self) -> float:
        """How long how many nodes were watched."""
        return self.nodes * self.seconds / 86_400

    @property
    def found(self) -> list[Match]:
        """Causes with an incident of their own."""
        return [one for one in self.matched.causes if one.incidents]

    def figures(self) -> dict[str, Any]:
        """Everything as JSON; shares are of the found, and of those for which the truth blames somebody."""
        causes, found = self.matched.causes, self.found
        asked = [one for one in causes if one.guilty_right is not None]
        delays = [one.delay_s for one in found if one.delay_s is not None]
        false = len(self.matched.false)
        incidents = sum(len(one.incidents) for one in causes) + false
        return {
            "causes": len(causes),
            "incidents": incidents,
            "found": len(found),
            "missed": sum(not one.incidents and one.merged_into is None for one in causes),
            "merged": sum(one.merged_into is not None for one in causes),
            "split": sum(len(one.incidents) - 1 for one in found),
            "root_right": sum(one.root_right for one in causes),
            "guilty_asked": len(asked),
            "guilty_right": sum(bool(one.guilty_right) for one in asked),
            "delay_p50_s": _rounded(percentile(delays, 0.5)),
            "delay_p99_s": _rounded(percentile(delays, 0.99)),
            "false": false,
            "node_days": round(self.node_days, 3),
            "false_per_node_day": _rounded(false / self.node_days if self.node_days else None, 4),
            "false_per_node_day_at_most": _rounded(most_events(false) / self.node_days if self.node_days else None, 4),
        }

    def as_json(self) -> dict[str, Any]:
        """Figures, and every cause and false incident."""
        return self.figures() | {
            "by_cause": [
                {
                    "id": one.cause.id,
                    "label": one.cause.label,
                    "start": one.cause.start,
                    "incidents": [told.id for told in one.incidents],
                    "root": one.first.kind.value if one.first else None,
                    "root_right": one.root_right,
                    "guilty_right": one.guilty_right,
                    "delay_s": _rounded(one.delay_s),
                    "merged_into": one.merged_into.id if one.merged_into else None,
                }
                for one in self.matched.causes
            ],
            "false_incidents": [
                {"id": told.id, "kind": told.kind.value, "opened_at": told.opened, "subject": _place(told.place)}
                for told in self.matched.false
            ],
        }

    def lines(self, start: float) -> Iterator[str]:
        """For people: a line a cause, a line a false incident, and the sum. `start`: the recording's, Unix s."""
        for one in self.matched.causes:
            yield f"{one.cause.start - start:9.1f} s  {one.cause.id:>4} {one.cause.label:22s} {_verdict(one)}"
        for told in self.matched.false:
            where = ", ".join(f"{key} {value}" for key, value in _place(told.place).items())
            yield f"{told.opened - start:9.1f} s  FALSE {told.kind.value} ({where}) {told.id}"
        yield ""
        yield from self.summary()

    def summary(self) -> Iterator[str]:
        """The figures in words."""
        says = self.figures()
        yield (
            f"{says['incidents']} incidents for {says['causes']} true causes: {says['found']} found, "
            f"{says['missed']} missed, {says['merged']} merged into another's, {says['split']} split off"
        )
        yield (
            f"root right in {_share(says['root_right'], says['causes'])}, guilty card, rank or node right in "
            f"{_share(says['guilty_right'], says['guilty_asked'])}"
        )
        if says["delay_p50_s"] is not None:
            yield f"from fault to incident: p50 {says['delay_p50_s']} s, p99 {says['delay_p99_s']} s"
        yield (
            f"{says['false']} false incidents in {says['node_days']} node-days: {says['false_per_node_day']} a "
            f"node-day, at most {says['false_per_node_day_at_most']} (95 %)"
        )


def _verdict(one: Match) -> str:
    told = one.first
    if told is None:
        held = one.merged_into
        return f"MERGED into {held.id} ({held.kind.value})" if held else "MISSED"
    words = [f"in {one.delay_s:.1f} s", f"root {told.kind.value}{'' if one.root_right else ' (WRONG)'}"]
    if one.guilty_right is not None:
        words.append("guilty right" if one.guilty_right else "guilty WRONG or not named")
    if len(one.incidents) > 1:
        more = ", ".join(sorted({other.kind.value for other in one.incidents[1:]}))
        words.append(f"SPLIT: {len(one.incidents) - 1} more ({more})")
    return "; ".join(words)


def _place(place: Any) -> dict[str, Any]:
    keys = ("rack", "node", "gpu", "rank", "job")
    return {key: getattr(place, key) for key in keys if getattr(place, key) is not None}


def _share(part: int, whole: int) -> str:
    return f"{part} of {whole} ({part / whole:.0%})" if whole else "none asked"


def _rounded(value: float | None, digits: int = 1) -> float | None:
    return None if value is None else round(value, digits)
