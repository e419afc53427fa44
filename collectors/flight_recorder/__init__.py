"""NCCL's flight recorder: what each rank's collectives were doing when the watchdog gave up."""

from collectors.flight_recorder.reader import read_flight_recorder

__all__ = ["read_flight_recorder"]
