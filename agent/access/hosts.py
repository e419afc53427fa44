"""The Host allow-list: a web page of a stranger must not reach the agent under a name of the stranger's.

DNS rebinding needs a host name that the stranger controls, so an IP address is let through when it is the one that the
connection really arrived at: a scraper that goes by pod address needs no setting.
"""

import ipaddress
from collections.abc import Iterable

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


class HostList:
    """The names that the agent answers to."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        """`names` beside the loopback names, without port, any case."""
        self._names = LOOPBACK_NAMES | {name.lower().rstrip(".") for name in names}

    def refusal(self, host: str | None, arrived_at: str) -> tuple[int, str] | None:
        """None where the Host header is one of ours; else status and reason. `arrived_at`: the socket's own address."""
        if not host:
            return 400, "the request has no Host header"
        name = host_name(host)
        if name is None:
            return 400, "the Host header is malformed"
        if name in self._names or (_is_address(name) and name == arrived_at.lower()):
            return None
        return 421, "this agent does not answer to that host name"


def host_name(host: str) -> str | None:
    """`Example.org:8480` and `[::1]:8480` without port and in lower case; None where it is no host."""
    if host.startswith("["):
        name, bracket, rest = host[1:].partition("]")
        good = bool(bracket) and _is_address(name)
    else:
        name, colon, rest = host.partition(":")
        rest = colon + rest
        good = bool(name) and all(char.isalnum() or char in "-._" for char in name) and name.isascii()
    if not good or (rest and not (rest[0] == ":" and rest[1:].isascii() and rest[1:].isdigit() and len(rest) <= 6)):
        return None
    return name.lower().rstrip(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
