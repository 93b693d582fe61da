"""Encoders of the compressions of CBF files other than byte offset, for small test images.

They follow the CBFlib manual, section 3.3, and take their time: a Python loop over pixels.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator

import numpy as np

__all__ = ["canonical", "nibble_offset", "packed"]

_LENGTHS = {1: (0, 4, 5, 6, 7, 8, 16), 2: (0, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16)}
_MODES = {4: "0001", 6: "0011", 8: "0010", 12: "00000011", 16: "00000001", 32: "00000010", 64: "00000100"}


def _wrapped(value: int, bits: int) -> int:
    """A number as two's complement of some bits holds it."""
    return (value + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1))


def _text(value: int, length: int) -> str:
    """Bits of a number, the lowest first."""
    return "".join(str(value >> i & 1) for i in range(length))


def _bytes(text: str) -> bytes:
    """Bytes of a stream of bits, the lowest first."""
    return bytes(int(text[i : i + 8][::-1], 2) for i in range(0, len(text), 8))


def _bases(pixels: np.ndarray, bits: int, flat: bool, correlated: bool) -> Iterator[int]:
    """What each pixel of a packed image is counted from."""
    flat_pixels = [int(v) for v in pixels.ravel()]
    layers, slow, fast = pixels.shape
    for z in range(layers):
        for y in range(slow):
            for x in range(fast):
                k = (z * slow + y) * fast + x
                if flat or (y == 0 and x > 0):
                    yield flat_pixels[k - 1] if k else 0
                elif y == 0:
                    yield flat_pixels[k - slow * fast] if z else 0
                else:
                    row = [(y - 1, i) for i in (x - 1, x, x + 1)]
                    if x == 0:
                        row = row[1:]
                    elif x == fast - 1:
                        row = row[1:2]
                    pool = row + [(y, x - 1)] * (x > 0)
                    values = [flat_pixels[(z * slow + j) * fast + i] for j, i in pool]
                    if correlated and z:
                        pool = row + [(y, x)] * (x > 0)
                        values += [flat_pixels[((z - 1) * slow + j) * fast + i] for j, i in pool]
                    yield _wrapped(sum(values) + len(values) // 2, bits) >> (len(values).bit_length() - 1)


def packed(
    pixels: np.ndarray,
    version: int = 1,
    bits: int = 32,
    flat: bool = False,
    correlated: bool = True,
    first_block: int = 0,
) -> bytes:
    """CBF_PACKED and CBF_PACKED_V2.

    Parameters
    ----------
    pixels : (slow, fast) or (layers, slow, fast) int
        At least two pixels in a row; unsigned pixels as signed numbers of the same bits.
    version : 1 or 2
    bits : 8, 16, 32 or 64
        Length of a pixel.
    flat, correlated : bool
    first_block : int
        Blocks have 1, 2, 4 ... 128 pixels in turn, beginning with 2 to this power.
    """
    image = pixels.reshape((-1, *pixels.shape[-2:]))
    steps = [
        int(v) - base if flat else _wrapped(int(v) - base, bits)
        for v, base in zip(image.ravel(), _bases(image, bits, flat, correlated))
    ]
    lengths = (*_LENGTHS[version], 65 if flat else bits)
    text, at, power = "", 0, first_block
    while at < len(steps):
        size = 1 << min(power % 8, (len(steps) - at).bit_length() - 1)
        block = steps[at : at + size]
        needed = max((0 if s == 0 else (s if s >= 0 else -s - 1).bit_length() + 1) for s in block)
        index = next(i for i, n in enumerate(lengths) if n >= needed)
        text += _text(size.bit_length() - 1, 3) + _text(index, 2 + version)
        text += "".join(_text(s, lengths[index]) for s in block)
        at += size
        power += 1
    return len(steps).to_bytes(8, "little") + bytes(24) + _bytes(text)


def nibble_offset(pixels: np.ndarray, reset: int = 0) -> bytes:
    """CBF_NIBBLE_OFFSET.

    Parameters
    ----------
    pixels : array of int
    reset : int
        Begin anew with 0 before this pixel; 0 for never.
    """
    text, mode, value = "", 0, 0
    order = (2, *_MODES)
    for k, pixel in enumerate(int(v) for v in pixels.ravel()):
        if reset and k == reset and mode:
            text += _text(1 << (mode - 1), mode) + "00000000"
            value, mode = 0, 0
        step = pixel - value
        fitting = next(n for n in order if -(1 << (n - 1)) < step < 1 << (n - 1))
        rise = order.index(fitting) - order.index(mode) if mode else 0
        if mode and fitting > mode and rise <= 5 and k % 2:
            # A single longer step.
            text += (
                _text(1 << (mode - 1), mode) + ("10" if rise == 1 else "11" + _text(rise - 2, 2)) + _text(step, fitting)
            )
        else:
            if fitting > mode or (mode and k % 7 == 0 and fitting < mode):
                text += _text(1 << (mode - 1), mode) if mode else ""
                text += "01" if fitting == 2 else "".join(_MODES[fitting][i : i + 2][::-1] for i in range(0, 4, 2))
                if fitting > 8:
                    text += _MODES[fitting][:3:-1]
                mode = fitting
            text += _text(step, mode)
        value = pixel
    return _bytes(text)


def canonical(pixels: np.ndarray, direct_bits: int = 4) -> bytes:
    """CBF_CANONICAL; errors of `direct_bits` have codes of their own."""
    values = [int(v) for v in pixels.ravel()]
    steps = [b - a for a, b in zip([0, *values], values)]
    stop, half = 1 << direct_bits, 1 << (direct_bits - 1)
    longest = max([direct_bits + 1] + [(s if s >= 0 else -s - 1).bit_length() + 1 for s in steps])
    symbols = []
    for s in steps:
        n = (s if s >= 0 else -s - 1).bit_length() + 1
        symbols.append((s % stop, 0, 0) if -half <= s < half else (stop + n - direct_bits, s, n))
    lengths = _huffman(Counter([s for s, _, _ in symbols] + [stop]))
    codes, code, previous = {}, 0, 0
    for symbol in sorted(lengths, key=lambda s: (-lengths[s], s)):
        if previous:
            code = (code + 1) >> (previous - lengths[symbol])
        previous = lengths[symbol]
        codes[symbol] = format(code, f"0{previous}b")
    text = "".join(codes[symbol] + _text(s, n) for symbol, s, n in symbols) + codes[stop]
    table = bytes(lengths.get(i, 0) for i in range(stop + 1 + longest - direct_bits))
    return len(values).to_bytes(8, "little") + bytes(24) + bytes([direct_bits, longest]) + table + _bytes(text)


def _huffman(counts: Counter[int]) -> dict[int, int]:
    """Length of the code of each symbol."""
    heap = [(n, i, [symbol]) for i, (symbol, n) in enumerate(counts.items())]
    heapq.heapify(heap)
    lengths = dict.fromkeys(counts, 0)
    while len(heap) > 1:
        n1, i1, s1 = heapq.heappop(heap)
        n2, _, s2 = heapq.heappop(heap)
        for symbol in s1 + s2:
            lengths[symbol] += 1
        heapq.heappush(heap, (n1 + n2, i1, s1 + s2))
    return {symbol: max(n, 1) for symbol, n in lengths.items()}
