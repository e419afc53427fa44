"""An audit entry as a CloudEvent (specification 1.0, JSON format): what event brokers and SIEMs take in."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from policies.model import AuditEntry

SOURCE = "/watchstander/audit"
TYPE = "io.watchstander.audit"


def cloud_event(entry: AuditEntry) -> dict[str, Any]:
    """`id` is the entry's hash: the same entry is the same event, however often it is exported."""
    seconds, rest = divmod(entry.time_ns, 10**9)
    moment = datetime.fromtimestamp(seconds, UTC)
    return {
        "specversion": "1.0",
        "id": entry.hash,
        "source": SOURCE,
        "type": f"{TYPE}.{entry.what}",
        "subject": entry.about,
        "time": f"{moment:%Y-%m-%dT%H:%M:%S}.{rest:09d}Z",
        "datacontenttype": "application/json",
        "data": {
            "sequence": entry.sequence,
            "actor": entry.actor,
            "detail": _detail(entry.detail),
            "previous_hash": entry.previous_hash,
            "hash": entry.hash,
        },
    }


def _detail(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text
