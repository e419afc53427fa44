"""The threads that carry plans on: one looks what is due, a few work, so that a slow API server holds up one plan."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from collectors.errors import FixConfiguration, RetryLater
from policies.executor import Executor
from policies.journal import PlanEntry

_log = logging.getLogger(__name__)

WORKERS = 8
"""Plans that are carried on at once."""


class Runner:
    """Give it an executor; `wake` it when something is due before the next look."""

    def __init__(
        self,
        executor: Executor,
        *,
        look_seconds: float = 0.5,
        workers: int = WORKERS,
        carried: Callable[[PlanEntry, PlanEntry], None] = lambda _before, _after: None,
    ) -> None:
        """`carried` hears of each plan that was carried on, as it stood before and as it stands now."""
        self._executor = executor
        self._look_seconds = look_seconds
        self._workers = workers
        self._carried = carried
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="act")
        self._under_way: set[str] = set()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stop = False
        self._thread = threading.Thread(target=self._run, name="actions", daemon=True)
        self.problem = ""
        """Why plans cannot be carried on now; empty where they can."""
        self.errors = 0
        """Faults of ours that a plan ran into; the log has them."""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Look now. From any thread."""
        self._wake.set()

    def stop(self) -> None:
        """Let what is under way come to its next wait, then end."""
        self._stop = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _run(self) -> None:
        while not self._stop:
            self._wake.wait(self._look_seconds)
            self._wake.clear()
            if not self._stop:
                self._look()

    def _look(self) -> None:
        try:
            due = self._executor.due()
        except (RetryLater, FixConfiguration) as error:
            self._trouble(error)
            return
        except Exception:  # noqa: BLE001 - the outermost loop of this thread
            self.errors += 1
            _log.exception("looking for due plans failed and is tried again")
            return
        self.problem = ""
        with self._lock:
            fresh = [entry for entry in due if entry.plan.id not in self._under_way]
            self._under_way.update(entry.plan.id for entry in fresh)
        for entry in fresh:
            self._pool.submit(self._carry_on, entry)

    def _carry_on(self, entry: PlanEntry) -> None:
        moved = False
        try:
            after = self._executor.carry_on(entry)
            if after.version != entry.version:
                self._carried(entry, after)
                moved = True
        except (RetryLater, FixConfiguration) as error:
            self._trouble(error)
        except Exception:  # noqa: BLE001 - the outermost loop of a worker: one plan must not stop the others
            self.errors += 1
            _log.exception("carrying on plan %s failed and is tried again", entry.plan.id)
        finally:
            with self._lock:
                self._under_way.discard(entry.plan.id)
                idle = len(self._under_way) < self._workers
            if moved and idle:
                self._wake.set()  # what stood in line behind it may go on; while others wait for hands it has time

    def _trouble(self, error: Exception) -> None:
        if str(error) != self.problem:
            _log.error("plans cannot be carried on now: %s", error)
        self.problem = str(error)
