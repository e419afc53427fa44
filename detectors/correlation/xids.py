"""Which Xids a finding rests on, and what they are called."""

from collections.abc import Iterable

from collectors.kernel_log.xid_catalogue import XID_CATALOGUE
from detectors.model import Finding


def xid_codes(findings: Iterable[Finding]) -> tuple[int, ...]:
    """The codes in the evidence of findings (`Evidence.metric` is `xid`, `value` the code), ascending, each once.

    >>> xid_codes([])
    ()
    """
    codes = {
        int(item.value)
        for finding in findings
        for item in finding.evidence
        if item.metric == "xid" and item.value is not None and item.value.is_integer()
    }
    return tuple(sorted(codes))


def xid_words(codes: Iterable[int]) -> str:
    """Xids with their names.

    >>> xid_words([79, 9999])
    'Xid 79 (GPU has fallen off the bus), Xid 9999 (not in the catalogue)'
    """
    return ", ".join(
        f"Xid {code} ({XID_CATALOGUE[code].name if code in XID_CATALOGUE else 'not in the catalogue'})"
        for code in codes
    )
