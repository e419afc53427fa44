"""The types that floor 1 owns and hands up: Subject, Event, Batch, and the catalogue of metrics."""

from collectors.model.batch import COUNTER_ABSENT, LIVE_ONLY, WIRE_VERSION, Batch, Origin, Table
from collectors.model.event import Event, EventKind, EventSource
from collectors.model.metrics import CATALOGUE, Metric, MetricType, Tier
from collectors.model.subject import Subject, SubjectFacts, SubjectKind

__all__ = [
    "CATALOGUE",
    "COUNTER_ABSENT",
    "LIVE_ONLY",
    "WIRE_VERSION",
    "Batch",
    "Event",
    "EventKind",
    "EventSource",
    "Metric",
    "MetricType",
    "Origin",
    "Subject",
    "SubjectFacts",
    "SubjectKind",
    "Table",
    "Tier",
]
