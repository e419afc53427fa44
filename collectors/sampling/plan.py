"""How often the collector looks and sends. docs/sampling.md explains the plan and what it costs."""

from dataclasses import dataclass, fields

from collectors.errors import FixConfiguration
from collectors.model import Tier


@dataclass(frozen=True, slots=True)
class SamplingPlan:
    """Seconds between looks and between batches. The defaults come from the measured price of each NVML call."""

    cheap_seconds: float = 1.0
    """Between looks at utilisation, power, clock, reasons and memory: 0.06 ms of CPU per GPU."""
    middle_seconds: float = 5.0
    """Between looks at temperature, ECC, remapped rows and process count: 0.05 ms of CPU per GPU."""
    dear_seconds: float = 30.0
    """Between looks at energy (3 to 4.7 ms of CPU per GPU), limits, violations, replays and NVLink (2 to 2.7 ms)."""
    batch_seconds: float = 5.0
    """Between batches while all is calm; each carries the last value and the extremes of the looks between."""
    suspicion_seconds: float = 60.0
    """How long after the last look out of its range the collector goes on sending second by second."""
    events_seconds: float = 1.0
    """Training steps leave at most this late; every other event leaves at once."""
    facts_seconds: float = 60.0
    """Between repetitions of what is known about the subjects; a change is sent at once."""

    def __post_init__(self) -> None:
        for item in fields(self):
            seconds = getattr(self, item.name)
            if not 0 <= seconds <= 3600:
                raise FixConfiguration(f"sampling.{item.name} is {seconds}: give seconds between 0 and 3600")

    def tier_seconds(self, tier: Tier) -> float:
        """Seconds between looks at the metrics of a tier."""
        return {Tier.CHEAP: self.cheap_seconds, Tier.MIDDLE: self.middle_seconds, Tier.DEAR: self.dear_seconds}[tier]
