"""The tree of tags of a Digital Micrograph file, version 3 or 4.

After version, length and byte order comes a directory: tags with a name, each another directory or data with a
description of its type. Numbers of the tree are big endian; 32 bits in version 3, 64 in version 4. Data have the byte
order of the file. Written from the public description of the format (C. Boothroyd, "The DM3 and DM4 file formats").
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

from spindle.errors import fault

_NUMBERS = {
    2: "i2", 3: "i4", 4: "u2", 5: "u4", 6: "f4", 7: "f8", 8: "u1", 9: "i1", 10: "u1", 11: "i8", 12: "u8",
}  # fmt: skip
_STRUCT, _STRING, _ARRAY = 15, 18, 20
_DIRECTORY = 20
# Arrays longer than this are not read with the tree, only their place is.
_LONG = 256
_DEEPEST = 64


@dataclass(frozen=True, slots=True)
class Stored:
    """A long array that was left in the file.

    Attributes
    ----------
    start, count : int
        First byte and number of elements.
    dtype : str
        numpy's name; "" for elements that are not plain numbers.
    """

    start: int
    count: int
    dtype: str


def is_dm(head: bytes) -> bool:
    """Whether a file begins like one of Digital Micrograph."""
    if len(head) < 34:
        return False
    version = struct.unpack_from(">I", head)[0]
    if version not in (3, 4):
        return False
    place = 8 if version == 3 else 12
    order, is_sorted, is_open = struct.unpack_from(">IBB", head, place)
    return order in (0, 1) and is_sorted in (0, 1) and is_open in (0, 1)


class TagTree:
    """Reads the tree of a file.

    Parameters
    ----------
    data : (n_bytes,) int8 or uint8
        The whole file, in memory or mapped.

    Raises
    ------
    ValueError
        If the tree makes no sense or reaches beyond the file.
    """

    def __init__(self, data: np.ndarray) -> None:
        self._data = data
        self._at = 0
        version = int(self._unpack(">I"))
        if version not in (3, 4):
            raise self._error("version 3 or 4", version)
        self._word = ">I" if version == 3 else ">Q"
        self._is_four = version == 4
        self._unpack(self._word)
        self._order = "<" if self._unpack(">I") else ">"
        self.root: dict[str, Any] = self._directory(0)

    def _reach(self, size: int) -> None:
        if size < 0 or self._at + size > self._data.size:
            raise self._error(
                f"{self._at + size} bytes to hold what begins here", f"{self._data.size} bytes, the file is cut short"
            )

    def _error(self, expected: str, found: object) -> ValueError:
        return ValueError(fault(f"tags, byte {self._at}", expected, found, "copy the file again"))

    def _take(self, size: int) -> bytes:
        self._reach(size)
        found = self._data[self._at : self._at + size].tobytes()
        self._at += size
        return found

    def _unpack(self, kind: str) -> int:
        return int(struct.unpack(kind, self._take(struct.calcsize(kind)))[0])

    def _directory(self, depth: int) -> dict[str, Any]:
        if depth > _DEEPEST:
            raise self._error(f"at most {_DEEPEST} directories in each other", "more")
        self._take(2)
        found: dict[str, Any] = {}
        for number in range(self._unpack(self._word)):
            kind = self._unpack(">B")
            name = self._take(self._unpack(">H")).decode("latin-1") or str(number)
            if self._is_four:
                self._unpack(self._word)
            found[name] = self._directory(depth + 1) if kind == _DIRECTORY else self._value()
        return found

    def _value(self) -> Any:
        if self._take(4) != b"%%%%":
            raise self._error("%%%% before it", "something else")
        count = self._unpack(self._word)
        if not 0 < count < 10000:
            raise self._error("a type described by 1 to 9999 numbers", count)
        info = [self._unpack(self._word) for _ in range(count)]
        kind = info[0]
        if kind in _NUMBERS:
            return self._numbers([kind])[0]
        if kind == _STRUCT:
            return self._numbers(info[4::2])
        if kind == _STRING:
            return self._take(2 * info[1]).decode("utf-16-le" if self._order == "<" else "utf-16-be", "replace")
        if kind == _ARRAY:
            return self._array(info[1:-1], info[-1])
        raise self._error("a type of data that is known", kind)

    def _numbers(self, kinds: list[int]) -> list[float]:
        return [
            np.frombuffer(self._take(np.dtype(_NUMBERS[k]).itemsize), self._order + _NUMBERS[k])[0].item()
            if k in _NUMBERS
            else self._unknown(k)
            for k in kinds
        ]

    def _unknown(self, kind: int) -> float:
        raise self._error("a type of data that is known", kind)

    def _array(self, info: list[int], count: int) -> Any:
        kinds = info[4::2] if info[0] == _STRUCT else info[:1]
        for k in kinds:
            if k not in _NUMBERS:
                self._unknown(k)
        size = count * sum(np.dtype(_NUMBERS[k]).itemsize for k in kinds)
        start, plain = self._at, self._order + _NUMBERS[kinds[0]] if len(kinds) == 1 else ""
        if size > _LONG or not plain:
            self._reach(size)
            self._at += size
            return Stored(start, count, plain)
        values = np.frombuffer(self._take(size), plain)
        if kinds[0] == 4:  # text is stored as an array of 16-bit numbers
            return "".join(chr(v) for v in values)
        return values.tolist()


def find(tree: dict[str, Any], *names: str) -> Any:
    """Value at a path in a tree; None when there is none."""
    here: Any = tree
    for name in names:
        if not isinstance(here, dict) or name not in here:
            return None
        here = here[name]
    return here
