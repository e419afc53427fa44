"""Reads pickles of plain data, and nothing else.

A flight-recorder dump lies where a training job may write, so it is hostile. Python's own unpickler can call anything
that is importable, and even where that is forbidden a small file can make it reserve gigabytes (a memo index of four
billion) or overflow the stack (hash of a deeply nested tuple). This one knows only the opcodes of dicts, lists, tuples,
strings, numbers, booleans and None; keys of dicts are strings, numbers or booleans; nothing is called, and no memory is
reserved that the file does not fill.
"""

import struct
from collections.abc import Callable
from typing import Any

from collectors.errors import GiveUp

_MARK = object()
_KEY_TYPES = (str, int, float, bool)
_MOST_OPCODES = 1_000_000
"""A dump of 2,000 entries takes 130,000 and a quarter of a second; a hostile file is left after a few seconds."""
_MOST_LONG_BYTES = 16
"""Of an integer: 128 bits hold every counter and every address."""


def loads(data: bytes) -> Any:
    """The value that the pickle holds. Raises GiveUp at the first thing that is not plain data."""
    return _Reader(data).read()


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def read(self) -> Any:
        for _ in range(_MOST_OPCODES):
            start = self._at
            code = self._take(1)[0]
            if code == 0x2E:  # STOP
                if len(self._stack) != 1 or self._stack[0] is _MARK:
                    raise GiveUp(f"the pickle does not end in one value (at byte {start})")
                return self._stack[0]
            handler = _HANDLERS.get(code)
            if handler is None:
                raise GiveUp(f"the pickle holds more than plain data (opcode 0x{code:02x} at byte {start})")
            try:
                handler(self)
            except (IndexError, KeyError, TypeError, AttributeError, ValueError, struct.error):
                raise GiveUp(f"the pickle is broken (opcode 0x{code:02x} at byte {start})") from None
        raise GiveUp(f"the pickle is of more than {_MOST_OPCODES:,} pieces (at byte {self._at})")

    def _take(self, size: int) -> bytes:
        piece = self._data[self._at : self._at + size]
        if len(piece) < size:
            raise GiveUp(f"the pickle is cut off (at byte {len(self._data)})")
        self._at += size
        return piece

    def _unsigned(self, size: int) -> int:
        return int.from_bytes(self._take(size), "little")

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _pop_mark(self) -> list[Any]:
        stack = self._stack
        at = len(stack) - 1
        while stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise ValueError("no mark")
        items = stack[at + 1 :]
        del stack[at:]
        return items

    def _top(self, kind: type) -> Any:
        top = self._stack[-1]
        if type(top) is not kind:
            raise TypeError
        return top

    def _pop_value(self) -> Any:
        value = self._stack.pop()
        if value is _MARK:
            raise TypeError
        return value

    # --- opcodes ---

    def proto(self) -> None:
        if self._unsigned(1) > 5:
            raise ValueError("protocol")

    def frame(self) -> None:
        self._take(8)

    def mark(self) -> None:
        self._push(_MARK)

    def int_of(self, size: int, *, signed: bool = False) -> None:
        self._push(int.from_bytes(self._take(size), "little", signed=signed))

    def long(self) -> None:
        size = self._unsigned(1)
        if size > _MOST_LONG_BYTES:
            raise ValueError("integer")
        self._push(int.from_bytes(self._take(size), "little", signed=True))

    def binfloat(self) -> None:
        self._push(struct.unpack(">d", self._take(8))[0])

    def unicode(self, size_bytes: int) -> None:
        self._push(self._take(self._unsigned(size_bytes)).decode("utf-8", "replace"))

    def tuple_of(self, size: int) -> None:
        items = [self._pop_value() for _ in range(size)]
        self._push(tuple(reversed(items)))

    def tuple_to_mark(self) -> None:
        self._push(tuple(self._pop_mark()))

    def list_to_mark(self) -> None:
        self._push(self._pop_mark())

    def dict_to_mark(self) -> None:
        items = self._pop_mark()
        self._push({})
        self._set(items)

    def append(self) -> None:
        value = self._pop_value()
        self._top(list).append(value)

    def appends(self) -> None:
        items = self._pop_mark()
        self._top(list).extend(items)

    def setitem(self) -> None:
        value = self._pop_value()
        key = self._pop_value()
        self._set([key, value])

    def setitems(self) -> None:
        self._set(self._pop_mark())

    def _set(self, items: list[Any]) -> None:
        target = self._top(dict)
        if len(items) % 2:
            raise ValueError("odd")
        for key, value in zip(items[::2], items[1::2]):
            if not isinstance(key, _KEY_TYPES):
                raise TypeError
            target[key] = value

    def put(self, size: int) -> None:
        index = self._unsigned(size)
        if self._stack[-1] is _MARK:
            raise TypeError
        self._memo[index] = self._stack[-1]

    def memoize(self) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def get(self, size: int) -> None:
        self._push(self._memo[self._unsigned(size)])


_HANDLERS: dict[int, Callable[[_Reader], None]] = {
    0x80: _Reader.proto,
    0x95: _Reader.frame,
    0x28: _Reader.mark,
    0x4E: lambda reader: reader._push(None),
    0x88: lambda reader: reader._push(True),
    0x89: lambda reader: reader._push(False),
    0x4A: lambda reader: reader.int_of(4, signed=True),
    0x4B: lambda reader: reader.int_of(1),
    0x4D: lambda reader: reader.int_of(2),
    0x8A: _Reader.long,
    0x47: _Reader.binfloat,
    0x58: lambda reader: reader.unicode(4),
    0x8C: lambda reader: reader.unicode(1),
    0x8D: lambda reader: reader.unicode(8),
    0x5D: lambda reader: reader._push([]),
    0x7D: lambda reader: reader._push({}),
    0x29: lambda reader: reader._push(()),
    0x85: lambda reader: reader.tuple_of(1),
    0x86: lambda reader: reader.tuple_of(2),
    0x87: lambda reader: reader.tuple_of(3),
    0x74: _Reader.tuple_to_mark,
    0x6C: _Reader.list_to_mark,
    0x64: _Reader.dict_to_mark,
    0x61: _Reader.append,
    0x65: _Reader.appends,
    0x73: _Reader.setitem,
    0x75: _Reader.setitems,
    0x71: lambda reader: reader.put(1),
    0x72: lambda reader: reader.put(4),
    0x94: _Reader.memoize,
    0x68: lambda reader: reader.get(1),
    0x6A: lambda reader: reader.get(4),
}
