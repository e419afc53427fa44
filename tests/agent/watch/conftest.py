import sys
from pathlib import Path

# The simulated fleet of the detectors' tests.
sys.path.insert(0, str(Path(__file__).parents[2] / "detectors"))
