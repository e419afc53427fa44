"""From findings to incidents: what belongs together, and which of it is the probable root."""

from detectors.correlation.correlator import FORGET_SECONDS, Correlator
from detectors.correlation.report import MOST_LISTED, QUIET_SECONDS, incident_id
from detectors.correlation.table import EDGES, LAYERS, Edge, Scope, rank_of
from detectors.correlation.title import cause_words, where
from detectors.correlation.xids import xid_codes, xid_words

__all__ = [
    "EDGES",
    "FORGET_SECONDS",
    "LAYERS",
    "MOST_LISTED",
    "QUIET_SECONDS",
    "Correlator",
    "Edge",
    "Scope",
    "cause_words",
    "incident_id",
    "rank_of",
    "where",
    "xid_codes",
    "xid_words",
]
