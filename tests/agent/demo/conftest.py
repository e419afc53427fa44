import sys
from pathlib import Path

# Cuts of recordings.
sys.path.insert(0, str(Path(__file__).parents[2] / "recordings"))
