"""PCI addresses in one form."""

import pytest

from collectors.kernel_log.pci import normalise


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("PCI:0000:9B:00", "0000:9b:00.0"),
        ("0000:18:00.0", "0000:18:00.0"),
        ("18:00.0", "0000:18:00.0"),
        ("00000000:18:00.0", "0000:18:00.0"),
        ("PCI:0018:01:00", "0018:01:00.0"),
        ("10000:e1:00.0", "10000:e1:00.0"),
        ("GPU-1", None),
        ("", None),
    ],
)
def test_every_way_of_writing_an_address_becomes_the_same(text: str, expected: str | None):
    assert expected == normalise(text)
