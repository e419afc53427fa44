"""One incident laid open for explaining: its root, what followed, and the figures in their evidence."""

from collections.abc import Sequence
from dataclasses import dataclass

from agent.advisor.explain.model import Cause
from collectors.kernel_log.xid_catalogue import XID_CATALOGUE, Xid
from detectors.correlation import where, xid_codes
from detectors.model import Evidence, Finding, FindingKind, Incident
from policies.model import Decision

LONGEST_QUOTE = 300
"""Characters of one piece of evidence in a sentence. Lines may be long, and they may be hostile."""


@dataclass(frozen=True, slots=True)
class Case:
    """What an explainer is shown."""

    incident: Incident
    findings: tuple[Finding, ...]
    """The incident's own, root first; never empty."""
    decisions: tuple[Decision, ...]
    """The incident's own, oldest first."""

    @property
    def root(self) -> Finding:
        """The probable root."""
        return self.findings[0]

    @property
    def place(self) -> str:
        """Where the root is: `GPU 3 of node a (rank 3)`."""
        return where(self.root)

    @property
    def job(self) -> str:
        """The job in words."""
        for finding in self.findings:
            if "job" in finding.names:
                return f"job {finding.names['job']}"
        return "the job"

    @property
    def node(self) -> str:
        """The node in words."""
        name = self.root.names.get("node")
        return f"node {name}" if name else "the node"

    def has(self, *kinds: FindingKind) -> bool:
        """Whether the incident holds a finding of any of these kinds."""
        return any(finding.kind in kinds for finding in self.findings)

    def xids(self) -> list[tuple[int, Xid | None]]:
        """The codes in the evidence, each with its entry in the catalogue where it has one."""
        return [(code, XID_CATALOGUE.get(code)) for code in xid_codes(self.findings)]

    def shown(self, *metrics: str) -> str:
        """What the root's evidence says, quoted; of these metrics only, where any are named. Ends without a stop."""
        return "; ".join(quoted(item.text) for _, item in self._pieces(metrics)) or quoted(self.root.summary)

    def refs(self, *metrics: str) -> tuple[str, ...]:
        """References to the same evidence; to the root itself where there is none."""
        found = tuple(f"{self.root.id}#{place}" for place, _ in self._pieces(metrics))
        return found or (self.root.id,)

    def refs_of(self, *kinds: FindingKind) -> tuple[str, ...]:
        """Ids of the incident's findings of these kinds."""
        return tuple(finding.id for finding in self.findings if finding.kind in kinds)

    def sources(self) -> set[str]:
        """Every source that bears witness in this incident."""
        return {item.source for finding in self.findings for item in finding.evidence if item.source}

    def log_lines(self) -> str:
        """The root's evidence in words and lines, lower case, to look for known words in."""
        return " ".join(f"{item.text} {item.line}" for item in self.root.evidence).lower()

    def _pieces(self, metrics: Sequence[str]) -> list[tuple[int, Evidence]]:
        held = list(enumerate(self.root.evidence))
        chosen = [(place, item) for place, item in held if item.metric.split(" ")[0] in metrics]
        return (chosen or held)[:4]


@dataclass(frozen=True, slots=True)
class Words:
    """What an explainer of one kind says."""

    causes: tuple[Cause, ...]
    check_next: tuple[str, ...]
    do: tuple[str, ...]


def quoted(text: str) -> str:
    """One line of printable text, at most `LONGEST_QUOTE` characters, without its full stop."""
    plain = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if len(plain) > LONGEST_QUOTE:
        plain = plain[: LONGEST_QUOTE - 1].rstrip() + "…"
    return plain.rstrip(".")


def sure(finding: Finding) -> str:
    """A detector's own confidence in words: what it states is so, whatever the cause of it."""
    if finding.confidence >= 0.9:
        return "almost certain"
    return "likely" if finding.confidence >= 0.7 else "possible"
