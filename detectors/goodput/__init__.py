"""Where a job's time goes: every nanosecond of every GPU to exactly one cause. Pure: no I/O, no clock."""

from detectors.goodput.account import Account
from detectors.goodput.cause import LOST, Cause
from detectors.goodput.ledger import LOOK_BACK_NS, Ledger, Revision

__all__ = ["LOOK_BACK_NS", "LOST", "Account", "Cause", "Ledger", "Revision"]
