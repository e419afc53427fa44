"""What one may not read shows as a count: on a line of its own, on standard error, so that tables stay tables."""

import sys


def tell(count: int, what: str) -> None:
    """`(3 more incidents that you may not read)`; `what` in the plural. Nothing where there are none."""
    if count:
        print(f"({count:,} more {what} that you may not read)", file=sys.stderr)
