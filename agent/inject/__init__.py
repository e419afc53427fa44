"""Faults laid on a test cluster on purpose: what there is, and how the fleet that plays the nodes is asked for one.

The fleet itself is `testcluster/fleet`. Whatever it says is of origin `test`.
"""
