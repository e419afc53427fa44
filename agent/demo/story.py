"""What the demo prints: incidents as they open, change and resolve, and the summary."""

from collections.abc import Callable
from typing import Any

from agent.api.words import plain
from agent.cli.client import AgentClient

Say = Callable[[str, str], None]
"""A line and its style: `critical`, `warning`, `info`, `good` or empty."""
_SHOWN_EVIDENCE = 3


class Story:
    """Follows an agent's incidents of one cluster and says what is new."""

    def __init__(self, client: AgentClient, cluster: str, start_ns: int, say: Say) -> None:
        """`start_ns`: the recording's first datum; times are told relative to it."""
        self._client = client
        self._cluster = cluster
        self._start_ns = start_ns
        self._say = say
        self._told: dict[str, dict[str, Any]] = {}
        self._decided: dict[str, str] = {}
        self.details: dict[str, dict[str, Any]] = {}
        """Every incident of this cluster with its findings and decisions, as last seen."""

    def look(self) -> bool:
        """Ask the agent and say what is new; whether anything was."""
        query: dict[str, str | int | list[str] | None] = {"cluster": self._cluster, "limit": 200}
        incidents = self._client.get("/v1/incidents", query)["incidents"]
        news = False
        for incident in sorted(incidents, key=lambda i: (i["opened_ns"], i["id"])):
            before = self._told.get(incident["id"])
            if before is not None and before["updated_ns"] == incident["updated_ns"]:
                continue
            detail = self._client.get(f"/v1/incidents/{incident['id']}")
            self.details[incident["id"]] = detail
            self._told[incident["id"]] = detail["incident"]
            self._tell(detail, before)
            news = True
        return news

    def _tell(self, detail: dict[str, Any], before: dict[str, Any] | None) -> None:
        incident = detail["incident"]
        if before is None:
            self._opened(detail)
        elif set(incident["findings"]) - set(before["findings"]):
            new = [f for f in detail["findings"] if f["id"] not in before["findings"]]
            for finding in new:
                self._say(f"{self._at(finding['opened_ns'])}  {incident['id']}  and {plain(finding['summary'])}", "")
        self._decision(detail)
        resolved = incident["resolved_ns"]
        if resolved is not None and (before is None or before["resolved_ns"] is None):
            line = f"{self._at(resolved)}  {incident['id']}  resolved: {plain(incident['resolved_because'])}"
            self._say(line, "good")

    def _opened(self, detail: dict[str, Any]) -> None:
        incident = detail["incident"]
        root = next((f for f in detail["findings"] if f["id"] == incident["root"]), None)
        head = f"{self._at(incident['opened_ns'])}  {incident['id']}  {incident['severity'].upper()}"
        self._say(f"{head}  {plain(incident['title'])}", incident["severity"])
        if root is None:
            return
        self._say(f"             cause: {plain(root['summary'])}", "")
        for evidence in root["evidence"][:_SHOWN_EVIDENCE]:
            self._say(f"             evidence: {plain(evidence['text'])} [{plain(evidence['source'])}]", "")

    def _decision(self, detail: dict[str, Any]) -> None:
        wanted = [d for d in detail["decisions"] if d["verdict"] != "nothing"]
        decided = (wanted or detail["decisions"])[-1:]
        for decision in decided:
            if self._decided.get(detail["incident"]["id"]) != decision["reason"]:
                self._decided[detail["incident"]["id"]] = decision["reason"]
                self._say(f"             policy ({decision['mode']}): {plain(decision['reason'])}", "")

    def _at(self, time_ns: int) -> str:
        seconds = (time_ns - self._start_ns) / 1e9
        return f"{int(seconds // 60):3d}:{seconds % 60:04.1f}"
