"""One explainer for each kind of finding, a file a family."""

from collections.abc import Callable

from agent.advisor.explain.case import Case, Words
from agent.advisor.explain.kinds import hardware, loss, memory, ranks, throttle, waiting, watch
from detectors.model import FindingKind

EXPLAINERS: dict[FindingKind, Callable[[Case], Words]] = {
    **hardware.KINDS,
    **throttle.KINDS,
    **waiting.KINDS,
    **ranks.KINDS,
    **memory.KINDS,
    **loss.KINDS,
    **watch.KINDS,
}
