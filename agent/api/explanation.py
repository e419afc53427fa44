"""The shape in which the API hands out an explanation."""

from collections.abc import Sequence

import msgspec

from agent.advisor.explain import Explanation
from detectors.model import Finding


class GroundShape(msgspec.Struct, frozen=True):
    """One thing that a cause rests on."""

    reference: str
    """`<finding id>#<place in its evidence>`, or a finding's id for the whole of it."""
    text: str
    """The evidence's text, or the finding's summary. It may hold log text: it is hostile."""


class CauseShape(msgspec.Struct, frozen=True):
    """One thing that it may be, or that it is not."""

    text: str
    confidence: str
    """`almost certain`, `likely`, `possible`, `unlikely` or `ruled out`."""
    evidence: list[GroundShape]


class ExplanationShape(msgspec.Struct, frozen=True):
    """Why, what to check next, and what to do; made without an LLM."""

    incident: str
    summary: str
    causes: list[CauseShape]
    """The most probable first."""
    check_next: list[str]
    do: list[str]
    hidden: int
    """Findings that you may not read: it is made without them."""

    @classmethod
    def of(
        cls, incident: str, explanation: Explanation, findings: Sequence[Finding], hidden: int = 0
    ) -> "ExplanationShape":
        """From the advisor's, with what its references stand for."""
        return cls(
            incident=incident,
            summary=explanation.summary,
            causes=[
                CauseShape(cause.text, cause.confidence, grounds(cause.evidence, findings))
                for cause in explanation.causes
            ],
            check_next=list(explanation.check_next),
            do=list(explanation.do),
            hidden=hidden,
        )


def grounds(references: Sequence[str], findings: Sequence[Finding]) -> list[GroundShape]:
    """What references stand for; one that no finding bears out is left out."""
    texts = {finding.id: finding.summary for finding in findings}
    for finding in findings:
        texts |= {f"{finding.id}#{place}": evidence.text for place, evidence in enumerate(finding.evidence)}
    return [GroundShape(reference, texts[reference]) for reference in references if reference in texts]
