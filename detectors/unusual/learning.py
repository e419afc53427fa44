"""`unusual` at work: fed from frames, looking every five seconds, asking for a new model now and then."""

from dataclasses import dataclass

from collectors.model import Subject
from detectors.contract import Opinion
from detectors.frame import NS, Columns, Floats, Frame
from detectors.model import Inventory
from detectors.unusual.detector import Setting, UnusualDetector
from detectors.unusual.model import UnusualModel
from detectors.unusual.newest import NewestGauges

METRICS = (
    "gpu_utilization_ratio",
    "gpu_power_watts",
    "gpu_sm_clock_hertz",
    "gpu_memory_used_bytes",
    "gpu_temperature_celsius",
    "gpu_memory_temperature_celsius",
    "gpu_sm_active_ratio",
    "gpu_tensor_active_ratio",
)
LOOK_NS = 5 * NS
"""Its persistence is counted in looks of the calm plan's batch interval."""
FIRST_FIT_NS = 1800 * NS
"""Half an hour of looks before the first model: start-up and one checkpoint are in it."""
REFIT_NS = 2 * 3600 * NS


@dataclass(frozen=True, slots=True)
class Fit:
    """A model to be learnt, outside the tick: `fit_unusual(rows, METRICS, seed)`."""

    setting: Setting
    rows: Floats
    seed: int


class UnusualLearner:
    """Owns the detector of one space."""

    def __init__(self, seed: int = 0) -> None:
        self.detector = UnusualDetector(METRICS, seed)
        self._newest = NewestGauges(METRICS)
        self._subjects: tuple[Subject, ...] = ()
        self._seed = seed
        self._looked_ns = 0
        self._fit_due_ns = 0

    def saw(self, frame: Frame) -> None:
        """Take in one frame."""
        self._newest.take(frame)

    def on_time(self, columns: Columns, inventory: Inventory, now_ns: int) -> list[Opinion]:
        """Look, if five seconds have passed since the last look."""
        if not len(columns) or now_ns - self._looked_ns < LOOK_NS:
            return []
        if not self._fit_due_ns:
            self._fit_due_ns = now_ns + FIRST_FIT_NS
        self._looked_ns = now_ns
        if len(self._subjects) != len(columns):
            self._subjects = tuple(columns.subjects)
        values = self._newest.values(len(columns), now_ns)
        return self.detector.look(values, METRICS, self._subjects, now_ns, now_ns, inventory)

    def fits_due(self, now_ns: int) -> list[Fit]:
        """The models to learn now; each call that gives any puts the next ones off by two hours."""
        if not self._fit_due_ns or now_ns < self._fit_due_ns:
            return []
        samples = ((setting, self.detector.sample(setting)) for setting in Setting)
        due = [Fit(setting, rows, self._seed) for setting, rows in samples if rows is not None]
        self._fit_due_ns = now_ns + (REFIT_NS if due else FIRST_FIT_NS)
        return due

    def adopt(self, setting: Setting, model: UnusualModel) -> None:
        """Judge by this model from the next look on."""
        self.detector.adopt(setting, model)
