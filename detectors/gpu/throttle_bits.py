"""NVML's clocks-event reasons: which bits are harmful. Unknown bits are kept, never dropped."""

import numpy as np

from detectors.frame import Floats, Ints

POWER_CAP = 0x4
HW_SLOWDOWN, SW_THERMAL, HW_THERMAL, POWER_BRAKE = 0x8, 0x20, 0x40, 0x80
THERMAL = SW_THERMAL | HW_THERMAL
HARMFUL = HW_SLOWDOWN | THERMAL | POWER_BRAKE
NAMES = {
    0x1: "idle",
    0x2: "application clocks",
    POWER_CAP: "software power cap",
    HW_SLOWDOWN: "hardware slowdown",
    0x10: "sync boost",
    SW_THERMAL: "software thermal slowdown",
    HW_THERMAL: "hardware thermal slowdown",
    POWER_BRAKE: "power brake",
    0x100: "display clock",
}


def bits(reasons: Floats) -> Ints:
    """The bitmask as integers; 0 where missing."""
    mask: Ints = np.where(np.isnan(reasons), 0, reasons).astype(np.int64)
    return mask


def spoken(mask: int) -> str:
    """The bits by name: "hardware slowdown, power brake"."""
    known = [name for bit, name in NAMES.items() if mask & bit]
    rest = mask & ~sum(NAMES)
    return ", ".join(known + ([f"unknown 0x{rest:x}"] if rest else [])) or "none"
