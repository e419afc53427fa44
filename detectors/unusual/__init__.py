"""What nobody wrote a rule for: subjects whose readings together are unlike anything in the fleet."""

from detectors.unusual.detector import Setting, UnusualDetector
from detectors.unusual.fit import fit_unusual
from detectors.unusual.model import UnusualModel

__all__ = ["Setting", "UnusualDetector", "UnusualModel", "fit_unusual"]
