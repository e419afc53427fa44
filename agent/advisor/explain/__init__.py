"""Why an incident probably happened, what to check, what to do: from its evidence alone, without a model."""

from agent.advisor.explain.explain import explain, references
from agent.advisor.explain.model import CONFIDENCES, Cause, Explanation

__all__ = ["CONFIDENCES", "Cause", "Explanation", "explain", "references"]
