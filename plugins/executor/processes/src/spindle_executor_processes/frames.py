"""Messages between a run and its workers: a letter, a length, bytes."""

from __future__ import annotations

import struct
from typing import BinaryIO

FUNCTION, FORGET, ITEM, READY, DONE = b"F", b"X", b"I", b"R", b"D"
COMMON, FORGET_COMMON = b"C", b"Y"  # the data begin with the name, of so many letters:
NAME = 64
_HEADER = struct.Struct(">cQQ")


def send(stream: BinaryIO, kind: bytes, number: int, data: bytes = b"") -> None:
    """Write a message about a map of this number; raises OSError when nobody reads."""
    stream.write(_HEADER.pack(kind, number, len(data)))
    stream.write(data)
    stream.flush()


def receive(stream: BinaryIO) -> tuple[bytes, int, bytes]:
    """Return the next message; raises EOFError when there will be none, or only a part of one."""
    head = stream.read(_HEADER.size)
    if len(head) < _HEADER.size:
        raise EOFError
    kind, number, size = _HEADER.unpack(head)
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return kind, number, data
