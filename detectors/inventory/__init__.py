"""What the inventory is made of: who said what, since when, what contradicts it, and what sits at a PCI address."""

from detectors.inventory.belonging import UNKNOWN, joined
from detectors.inventory.dated import Contradiction, Fact, Gone
from detectors.inventory.history import History
from detectors.inventory.pci import PciIndex
from detectors.inventory.sources import LAYOUT, Source, merged, order_of

__all__ = [
    "LAYOUT",
    "UNKNOWN",
    "Contradiction",
    "Fact",
    "Gone",
    "History",
    "PciIndex",
    "Source",
    "joined",
    "merged",
    "order_of",
]
