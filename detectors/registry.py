"""All detectors. A new one is a file of its own and a line here; the conformance test runs over this list."""

from detectors.contract import EventDetector
from detectors.gpu.ecc_correctable_storm import EccCorrectableStorm
from detectors.gpu.ecc_uncorrectable import EccUncorrectable
from detectors.gpu.gpu_memory_drop import GpuMemoryDrop
from detectors.gpu.gpu_memory_leak import GpuMemoryLeak
from detectors.gpu.gpu_memory_pressure import GpuMemoryPressure
from detectors.gpu.power_throttle import PowerThrottle
from detectors.gpu.row_remap import RowRemap
from detectors.gpu.thermal_throttle import ThermalThrottle
from detectors.hardware.gpu_lost import GpuLost
from detectors.hardware.xid import XidDetector
from detectors.job.collective_hang import CollectiveHang
from detectors.job.collective_timeout import CollectiveTimeout
from detectors.job.dataloader_stall import DataloaderStall
from detectors.job.gpu_out_of_memory import GpuOutOfMemory
from detectors.job.host_stall import HostStall
from detectors.job.job_crash import JobCrash
from detectors.job.rank_crash import RankCrash
from detectors.job.situation_detector import SituationDetector
from detectors.job.straggler import Straggler
from detectors.job.throughput_drop import ThroughputDrop
from detectors.job.training_stall import TrainingStall
from detectors.loss import LossDetector
from detectors.silence.clock_offset import ClockOffset
from detectors.silence.telemetry_lost import TelemetryLost
from detectors.unusual import UnusualDetector
from detectors.view import LookDetector

LOOK_DETECTORS: tuple[type[LookDetector], ...] = (
    EccUncorrectable,
    EccCorrectableStorm,
    RowRemap,
    ThermalThrottle,
    PowerThrottle,
    GpuMemoryLeak,
    GpuMemoryDrop,
    GpuMemoryPressure,
)
SITUATION_DETECTORS: tuple[type[SituationDetector], ...] = (
    RankCrash,
    CollectiveHang,
    TrainingStall,
    DataloaderStall,
    Straggler,
    ThroughputDrop,
)
EVENT_DETECTORS: tuple[type[EventDetector], ...] = (
    XidDetector,
    GpuLost,
    CollectiveTimeout,
    GpuOutOfMemory,
    JobCrash,
    HostStall,
    LossDetector,
)
SILENCE_DETECTORS = (TelemetryLost, ClockOffset)
LEARNT_DETECTORS = (UnusualDetector,)
DETECTORS = (*LOOK_DETECTORS, *SITUATION_DETECTORS, *EVENT_DETECTORS, *SILENCE_DETECTORS, *LEARNT_DETECTORS)
"""Every detector class: `kinds`, `needs`, and a docstring that says what it detects, from what, and where it fails."""
