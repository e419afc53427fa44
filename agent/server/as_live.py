"""Which origins this agent takes for live: `live`, and on a test cluster `test` too, so that injected faults are acted
on. What stands here keeps that away from a cluster that people use."""

import ipaddress
from urllib.parse import urlsplit

from agent.settings import Settings
from collectors.errors import FixConfiguration
from collectors.model import LIVE_ONLY, Origin


def as_live_of(settings: Settings) -> frozenset[Origin]:
    """The origins; FixConfiguration where `test` is to be one of them and the API server is not on this machine."""
    if not settings.watch.test_as_live:
        return LIVE_ONLY
    url = settings.inventory.kubernetes_url
    if not _on_loopback(url):
        raise FixConfiguration(
            "watch.test_as_live (--treat-test-as-live) acts on injected faults and is for a test cluster on this "
            f"machine: inventory.kubernetes_url is {url or 'empty'!r}, which is not on loopback; leave it off"
        )
    return LIVE_ONLY | {Origin.TEST}


def _on_loopback(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    if parts.scheme not in ("http", "https") or parts.username is not None:
        return False
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
