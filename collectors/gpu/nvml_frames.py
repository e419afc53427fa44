"""How the collector and its NVML child write to each other: four bytes of length, little-endian, then JSON.

Standard library only: the child imports this. To the child goes `{"id": n, "metrics": [names]}`; from it come objects
with a `type`, as `collectors.gpu.nvml_words` reads them.
"""

import struct

LENGTH = struct.Struct("<I")
MOST_BYTES = 1 << 20
"""A longer message is no message: the pipe is out of step."""


class OutOfStep(ValueError):  # noqa: N818 - says what the pipe is
    """The other side wrote something that is no frame."""


def frame(body: bytes) -> bytes:
    """One message as it goes over the pipe."""
    return LENGTH.pack(len(body)) + body


def take(buffer: bytearray) -> bytes | None:
    """Cut the first whole message off the buffer; None while it is not whole. Raises OutOfStep."""
    if len(buffer) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack_from(buffer)
    if length > MOST_BYTES:
        raise OutOfStep(f"a message of {length} bytes")
    end = LENGTH.size + length
    if len(buffer) < end:
        return None
    body = bytes(buffer[LENGTH.size : end])
    del buffer[:end]
    return body
