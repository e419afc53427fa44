"""The kernel's own log: Xids, out-of-memory kills, hung tasks."""
