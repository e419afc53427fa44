"""Where the models of `unusual` are learnt: at once (a replay must give the same every time), or in a worker."""

import logging
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from detectors.unusual import UnusualModel, fit_unusual
from detectors.unusual.learning import METRICS, Fit, UnusualLearner

_log = logging.getLogger(__name__)


class Fits(Protocol):
    """What a watch needs: asked once a tick."""

    def poll(self, learner: UnusualLearner, now_ns: int) -> None:
        """Learn what is due; hand over what is learnt."""
        ...


class InlineFits:
    """Learns within the tick: two seconds at the first time. For replays, which nobody waits for."""

    def poll(self, learner: UnusualLearner, now_ns: int) -> None:
        """Learn and adopt at once."""
        for fit in learner.fits_due(now_ns):
            learner.adopt(fit.setting, _learn(fit))


class BackgroundFits:
    """Learns in a thread of its own, so that the tick never waits for it; adopts at the next tick."""

    def __init__(self) -> None:
        self._worker = ThreadPoolExecutor(1, "unusual-fit")
        self._under_way: list[tuple[Fit, Future[UnusualModel]]] = []

    def poll(self, learner: UnusualLearner, now_ns: int) -> None:
        """Adopt what is ready; begin what is due."""
        for fit, future in self._under_way:
            if future.done():
                error = future.exception()
                if error is not None:
                    _log.error("unusual: no new model for %s (%s); the old one stays", fit.setting, error)
                else:
                    learner.adopt(fit.setting, future.result())
        self._under_way = [(fit, future) for fit, future in self._under_way if not future.done()]
        if not self._under_way:
            self._under_way = [(fit, self._worker.submit(_learn, fit)) for fit in learner.fits_due(now_ns)]


def _learn(fit: Fit) -> UnusualModel:
    return fit_unusual(fit.rows, METRICS, fit.seed)
