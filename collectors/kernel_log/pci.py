"""PCI addresses as drivers print them, to the one form that Watchstander uses."""

import re

_ADDRESS = re.compile(r"(?:PCI:)?(?:([0-9a-f]{4,8}):)?([0-9a-f]{2}):([0-9a-f]{2})(?:\.([0-7]))?", re.IGNORECASE)


def normalise(text: str) -> str | None:
    """`PCI:0000:9B:00`, `18:00.0`, `00000000:18:00.0` -> `0000:9b:00.0`, `0000:18:00.0`; None if it is no address.

    NVML pads the domain to eight digits and drivers leave out function 0, or domain 0.
    """
    match = _ADDRESS.fullmatch(text.strip())
    if match is None:
        return None
    domain, bus, device, function = match.groups()
    return f"{int(domain or '0', 16):04x}:{bus}:{device}.{function or '0'}".lower()
