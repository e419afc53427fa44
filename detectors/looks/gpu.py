"""The look detectors' view of one GPU: habits, and each detector's own threshold."""

from collections.abc import Callable, Iterator

import numpy as np

from detectors.gpu.ecc_correctable_storm import METRIC as STORM
from detectors.gpu.ecc_correctable_storm import STORM_PER_S
from detectors.gpu.ecc_uncorrectable import METRIC as UNCORRECTED
from detectors.gpu.gpu_memory_drop import DROP_SHARE
from detectors.gpu.gpu_memory_leak import RISES, SLOW_MINUTES, GpuMemoryLeak
from detectors.gpu.gpu_memory_pressure import FULL_SHARE
from detectors.gpu.habits import BUSY_UTILISATION, CLASS_NAMES
from detectors.gpu.power_throttle import AT_CAP, CLOCK_MOST, CLOCK_SHARE
from detectors.gpu.row_remap import FAILED, PENDING, REMAPS
from detectors.gpu.throttle_bits import HW_SLOWDOWN, POWER_BRAKE, THERMAL
from detectors.looks.moment import Moment
from detectors.looks.row import LookRow, Verdict, number, side
from detectors.persistence import Persistence
from detectors.view import LookDetector, told_number

USED = "gpu_memory_used_bytes"
REASONS = "gpu_clocks_event_reasons"


def habit_rows(moment: Moment, column: int) -> Iterator[LookRow]:
    """What all look detectors of this GPU lean on: when it was last looked at, its habit, its class."""
    habits, subject = moment.engine.habits, moment.engine.columns.subjects[column]
    age = moment.age_s(int(habits.last_ns[column]))
    ready = bool(habits.armed[column])
    known = Verdict.CLEAR if ready else Verdict.NOT_READY if age is not None else Verdict.NO_DATA

    def row(quantity: str, value: float | None, unit: str, says: str, verdict: Verdict = known) -> LookRow:
        return LookRow("Habits", (), subject, quantity, value, None, unit, age, verdict, says)

    name = CLASS_NAMES[int(habits.category[column])]
    frozen = "; it stands still while something is open" if habits.frozen[column] else ""
    yield row("its habit", None, "", ("known" if ready else "not learnt: ten seconds of steady load") + frozen)
    yield row("class over the last six seconds", float(habits.category[column]), "", name)
    for quantity, array, unit, says in (
        ("mean load over the window", habits.window_load_mean, "ratio", "1 is its habit, 0 is idle"),
        ("mean utilisation over the window", habits.window_utilisation, "ratio", "spins from 95 %, still to 15 %"),
        ("mean SM clock over its habit", habits.window_clock, "ratio", "1 is its habit"),
        ("mean power over its habit", habits.window_power, "ratio", "1 is its habit"),
        (f"memory in use ({USED})", habits.memory_bytes, "bytes", "as last seen"),
    ):
        value = number(float(array[column]))
        yield row(quantity, value, unit, says, known if value is not None else Verdict.NO_DATA)


def rows_of(detector: LookDetector, moment: Moment, column: int) -> Iterator[LookRow]:
    """One look detector's quantities about one GPU."""
    name, subject = type(detector).__name__, moment.engine.columns.subjects[column]
    ready = detector.ready(column, moment.engine.habits)
    is_open = any(moment.engine.book.is_open(kind, subject) for kind in detector.kinds)
    rule = _persistence(detector, column)
    for quantity, value, threshold, unit, age, verdict, says in _quantities(name, detector, moment, column):
        if is_open:
            verdict = Verdict.OPEN
        elif not ready and verdict is not Verdict.NO_DATA:
            verdict = Verdict.NOT_READY
        said = f"{says}; {rule}" if rule else says
        yield LookRow(name, detector.kinds, subject, quantity, value, threshold, unit, age, verdict, said)


Quantity = tuple[str, float | None, float | None, str, float | None, Verdict, str]
"""As the fields of `LookRow` from `quantity` on."""
Make = Callable[[LookDetector, Moment, int], Iterator[Quantity]]


def _quantities(name: str, detector: LookDetector, moment: Moment, column: int) -> Iterator[Quantity]:
    make = _BY_NAME.get(name)
    if make is not None:
        yield from make(detector, moment, column)
        return
    for metric in detector.needs.metrics:  # a detector that nobody has described here yet
        value, age = moment.reading(column, metric)
        there = Verdict.NO_DATA if value is None else Verdict.CLEAR
        yield metric, value, None, "", age, there, "as last seen; its rule stands in its own words"


def _rate(metric: str, threshold: float, says: str) -> Make:
    def make(detector: LookDetector, moment: Moment, column: int) -> Iterator[Quantity]:
        value, age = moment.reading(column, metric)
        yield metric, value, threshold, "errors per second", age, side(value, threshold, beyond_above=True), says

    return make


def _uncorrectable(detector: LookDetector, moment: Moment, column: int) -> Iterator[Quantity]:
    value, age = moment.reading(column, UNCORRECTED)
    verdict = Verdict.NO_DATA if value is None else Verdict.BEYOND if value > 0 else Verdict.CLEAR
    yield UNCORRECTED, value, 0.0, "errors per second", age, verdict, "beyond above 0: one error is enough"


def _row_remap(detector: LookDetector, moment: Moment, column: int) -> Iterator[Quantity]:
    for metric, says in ((PENDING, "opens as it rises"), (FAILED, "opens as it rises"), (REMAPS, "opens with each")):
        value, age = moment.reading(column, metric)
        verdict = Verdict.NO_DATA if value is None else Verdict.BEYOND if value > 0 else Verdict.CLEAR
        yield metric, value, 0.0, "", age, verdict, f"{says}; what was up at first sight is as-found"


def _bits(mask: int, says: str) -> Make:
    def make(detector: LookDetector, moment: Moment, column: int) -> Iterator[Quantity]:
        value, age = moment.reading(column, REASONS)
        told = None if value is None else float(int(value) & mask)
        verdict = Verdict.NO_DATA if told is None else Verdict.BEYOND if told else Verdict.CLEAR
        yield f"{REASONS}, the bits that matter", told, 0.0, "bitmask", age, verdict, says

    return make


def _thermal(detector: LookDetector, moment: Moment, column: int) -> Iterator[Quantity]:
    yield from _bits(THERMAL | HW_SLOWDOWN, "a thermal bit; a bare hardware slowdown only near the card's limit")(
        detector, moment, column
    )
    subject = moment.engine.columns.subjects[column]
    limit = told_number(moment.engine.inventory, subject, "slowdown_celsius")
    value, age = moment.reading(column, "gpu_temperature_celsius")
    verdict = Verdict.NO_DATA if value is None else side(value, (limit or np.inf) - 5, beyond_above=True)
    yield "gpu_temperature_celsius", value, limit, "celsius", age, verdict, "heat alone is no finding"


def _power(detector: LookDetector, moment: Moment, column: int) -> Iterator[Quantity]:
    habits = moment.engine.habits
    age = moment.age_s(int(habits.last_ns[column]))
    for quantity, array, threshold, above in (
        ("mean SM clock over its habit", habits.window_clock, CLOCK_SHARE, False),
        ("highest SM clock over its habit", habits.window_clock_max, CLOCK_MOST, False),
        ("mean utilisation", habits.window_utilisation, BUSY_UTILISATION, True),
        ("mean power over its habit", habits.window_power, AT_CAP, True),
    ):
        value = number(float(array[column]))
        verdict = side(value, threshold, beyond_above=above)
        yield quantity, value, threshold, "ratio", age, verdict, "all four at once, and no peer at rest"
    yield from _bits(POWER_BRAKE, "the power brake opens by itself")(detector, moment, column)


def _leak(detector: LookDetector, moment: Moment, column: int) -> Iterator[Quantity]:
    if not isinstance(detector, GpuMemoryLeak):
        return
    value, age = moment.reading(column, USED)
    for quantity, array, threshold in (
        ("rises running of memory in use", detector._rises, RISES),
        ("minutes running in which the least use rose", detector._slow_rises, SLOW_MINUTES),
    ):
        rises = float(array[column]) if column < len(array) and value is not None else None
        verdict = side(rises, threshold, beyond_above=True)
        yield quantity, rises, float(threshold), "", age, verdict, "and 5 % (2 % for minutes) of the card in all"


def _drop(detector: LookDetector, moment: Moment, column: int) -> Iterator[Quantity]:
    habits = moment.engine.habits
    value, age = moment.reading(column, USED)
    held, empty = float(habits.held_bytes[column]), float(habits.empty_bytes[column])
    gone = None if value is None or not held > empty else (held - value) / (held - empty)
    verdict = side(gone, DROP_SHARE, beyond_above=True)
    says = "between two looks, and the process works on at the next"
    yield "share of its habitual memory let go", gone, DROP_SHARE, "ratio", age, verdict, says


def _pressure(detector: LookDetector, moment: Moment, column: int) -> Iterator[Quantity]:
    value, age = moment.reading(column, USED)
    total = float(moment.engine.habits.total_bytes[column])
    share = None if value is None or not total > 0 else value / total
    verdict = side(share, FULL_SHARE, beyond_above=True)
    yield "share of the card's memory in use", share, FULL_SHARE, "ratio", age, verdict, "at or above"


def _persistence(detector: LookDetector, column: int) -> str:
    """`1 of the last 3 looks was bad, 2 open it`; empty where the detector has no such rule."""
    hold = getattr(detector, "_hold", None)
    if not isinstance(hold, Persistence) or hold.k == hold.n == 1:
        return ""
    bad = int(hold._history[column]).bit_count() if column < len(hold._history) else 0
    return f"{bad} of the last {hold.n} looks bad, {hold.k} open it"


_BY_NAME: dict[str, Make] = {
    "EccUncorrectable": _uncorrectable,
    "EccCorrectableStorm": _rate(STORM, STORM_PER_S, "at or above"),
    "RowRemap": _row_remap,
    "ThermalThrottle": _thermal,
    "PowerThrottle": _power,
    "GpuMemoryLeak": _leak,
    "GpuMemoryDrop": _drop,
    "GpuMemoryPressure": _pressure,
}
