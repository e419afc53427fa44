import sys
from pathlib import Path

# The server that API, command line and page are tested with.
sys.path.insert(0, str(Path(__file__).parents[1] / "api"))
