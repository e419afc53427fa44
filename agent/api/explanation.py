"""The shape in which the API hands out an explanation."""

import msgspec

from agent.advisor.explain import Explanation


class CauseShape(msgspec.Struct, frozen=True):
    """One probable cause."""

    text: str
    confidence: float
    """0 to 1."""
    evidence: list[str]
    """Ids of the findings that it rests on."""


class ExplanationShape(msgspec.Struct, frozen=True):
    """Why, what to check next, and what to do; made without an LLM."""

    incident: str
    summary: str
    causes: list[CauseShape]
    """The most probable first."""
    check_next: list[str]
    do: list[str]

    @classmethod
    def of(cls, incident: str, explanation: Explanation) -> "ExplanationShape":
        """From the advisor's."""
        return cls(
            incident=incident,
            summary=explanation.summary,
            causes=[CauseShape(cause.text, cause.confidence, list(cause.evidence)) for cause in explanation.causes],
            check_next=list(explanation.check_next),
            do=list(explanation.do),
        )
