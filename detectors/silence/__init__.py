"""What the watch itself cannot see: silence, and clocks that disagree. Absence is judged against now."""
