"""`make cluster`: a test cluster that keeps running, an agent beside it, and a fleet that plays its nodes.

docs/try-it.md is the tour.
"""
