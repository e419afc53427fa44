"""Writes golden batches of today's wire version; never over one that is there.

    python tests/golden/make_golden.py

Run it once when the wire version rises, after adding the new version's batches to test_golden_batches.py; the files of
the version before stay, those of older ones go.
"""

from pathlib import Path

from test_golden_batches import EXPECTED, path_of

from collectors.model import WIRE_VERSION
from collectors.wire import encode


def main() -> None:
    for name, batch in EXPECTED.items():
        path: Path = path_of(name, WIRE_VERSION)
        if path.exists():
            print(f"{path.name}: is there")
        else:
            path.write_bytes(encode(batch))
            print(f"{path.name}: written")


if __name__ == "__main__":
    main()
