import sys
from pathlib import Path

# Cuts of recordings, and an agent in a thread.
for folder in (Path(__file__).parents[2] / "recordings", Path(__file__).parents[1] / "server"):
    sys.path.insert(0, str(folder))
