"""Where the parts of a reflection file are: its MessagePack is walked without reading what the columns hold."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from spindle.models.arrays import shortened

from .source import Source, Stream

_SIZED = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}  # bytes of the length of binary data and of texts
_ARRAYS = {0xDC: 2, 0xDD: 4}
_MAPS = {0xDE: 2, 0xDF: 4}


def once(pairs: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    """A table of which no two entries have the same name.

    Raises
    ------
    ValueError
        If two have, of which other readers take one and some the other.
    """
    found: dict[Any, Any] = {}
    for name, value in pairs:
        if name in found:
            told = name.decode(errors="backslashreplace") if isinstance(name, bytes) else name
            raise ValueError(f"{shortened(told)} is there twice in one table")
        found[name] = value
    return found


@dataclass(frozen=True, slots=True)
class Extent:
    """Bytes of a source."""

    source: Source
    offset: int
    length: int

    def __len__(self) -> int:
        return self.length


class Walker:
    """Reads one MessagePack value after the other.

    Parameters
    ----------
    source : Source
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.position = 0

    @property
    def left(self) -> int:
        """Bytes that follow."""
        return self.source.size - self.position

    def _take(self, n: int) -> bytes:
        data = self.source.read(self.position, n)
        if len(data) < n:
            raise ValueError("the file ends too early")
        self.position += n
        return data

    def _header(self, kind: str, fixed: int, mask: int, sizes: dict[int, int]) -> int:
        first = self._take(1)[0]
        if first & mask == fixed:
            n = first & ~mask & 0xFF
        elif first in sizes:
            n = int.from_bytes(self._take(sizes[first]), "big")
        else:
            raise ValueError(f"{kind} expected at byte {self.position - 1}, found the code {first:#04x}")
        if n > self.left:
            raise ValueError(f"{kind} of {n} items in {self.left} bytes")
        return n

    def array(self) -> int:
        """Length of the list that starts here."""
        return self._header("a list", 0x90, 0xF0, _ARRAYS)

    def map(self) -> int:
        """Length of the table that starts here."""
        return self._header("a table", 0x80, 0xF0, _MAPS)

    def value(self) -> Any:
        """The value that starts here, whatever it is; texts are bytes."""
        import msgpack

        stream = Stream(self.source, self.position)
        unpacker = msgpack.Unpacker(
            stream, raw=True, strict_map_key=False, max_buffer_size=max(self.left, 1), object_pairs_hook=once
        )
        try:
            found = unpacker.unpack()
        except msgpack.exceptions.UnpackException as error:
            raise ValueError(str(error) or "the file ends too early") from error
        self.position += unpacker.tell()
        return found

    def payload(self) -> Any:
        """The value that starts here; of binary data and texts only where they are."""
        first = self.source.read(self.position, 1)
        code = first[0] if first else 0
        if code not in _SIZED and code & 0xE0 != 0xA0:
            return self.value()
        self.position += 1
        n = int.from_bytes(self._take(_SIZED[code]), "big") if code in _SIZED else code & 0x1F
        if n > self.left:
            raise ValueError(f"{n} bytes announced, {self.left} follow")
        found = Extent(self.source, self.position, n)
        self.position += n
        return found
