"""What a single GPU's readings tell: its habits, and the detectors that need no other GPU."""
