"""A fleet of collectors and training jobs, played for the nodes and pods of a test cluster; faults on demand.

docs/inject.md explains it. Physics, logs and collectors are those of `agent/simulate`, in real time; all of it is of
origin `test` and goes the way of a real collector's batches: parsers, wire, spool, HTTP with a token.
"""
