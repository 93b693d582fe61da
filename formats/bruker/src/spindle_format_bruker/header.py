"""The header of a Bruker frame: lines of 80 characters, a key of 7, a colon and values, in blocks of 512 bytes."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

_FORMAT = re.compile(rb"FORMAT ?:\s*(86|100)\b")
# Format 86 has numbers of 14 characters with 7 decimals, which may touch.
_TOUCHING = re.compile(r"(\.\d{7})(?=\d)")
BLOCK = 512


@dataclass(frozen=True, slots=True)
class BrukerHeader:
    """Values of a header, by key; lines with the same key are joined."""

    items: dict[str, str]

    def text(self, key: str) -> str:
        """All of a key's values as text; "" when absent."""
        return " ".join(self.items.get(key, "").split())

    def numbers(self, key: str) -> list[float]:
        """Numbers of a key up to the first value that is none."""
        found = []
        for word in _TOUCHING.sub(r"\1 ", self.items.get(key, "")).split():
            try:
                value = float(word)
            except ValueError:
                break
            if not math.isfinite(value):
                break
            found.append(value)
        return found

    def number(self, key: str, place: int = 0) -> float | None:
        """One number of a key; None when absent."""
        numbers = self.numbers(key)
        return numbers[place] if place < len(numbers) else None


def is_bruker(head: bytes) -> bool:
    """Whether a file begins like a frame of format 86 or 100."""
    return bool(_FORMAT.match(head)) and b"HDRBLKS:" in head[:512]


def parse_bruker(head: bytes) -> BrukerHeader:
    """Read a header."""
    size = 15 * BLOCK
    blocks = re.search(rb"HDRBLKS:\s*(\d{1,3})", head[:512])
    if blocks:
        size = int(blocks.group(1)) * BLOCK
    items: dict[str, str] = {}
    text = head[:size].decode("latin-1")
    for place in range(0, len(text) - 8, 80):
        line = text[place : place + 80]
        if line[7:8] != ":":
            continue
        key = line[:7].strip()
        items[key] = f"{items[key]} {line[8:]}" if key in items else line[8:]
    return BrukerHeader(items)
