"""Byte-offset compression of integers: differences of neighbours in as few bytes as hold them."""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["encode_byte_offset"]

# A pixel needs at most a mark of seven bytes and eight bytes of difference.
_LONGEST = 15


@njit(nogil=True, cache=True)
def _encode(values, out):
    """Byte-offset code of int32 values into ``out`` (uint8, 15 bytes per value suffice); returns the number of bytes."""
    n = 0
    previous = np.int64(0)
    for i in range(values.shape[0]):
        difference = np.int64(values[i]) - previous
        previous = np.int64(values[i])
        if -127 <= difference <= 127:
            out[n] = np.uint8(difference & 0xFF)
            n += 1
            continue
        out[n] = 0x80
        n += 1
        size = 2
        if difference < -32767 or difference > 32767:
            out[n] = 0x00
            out[n + 1] = 0x80
            n += 2
            size = 4
        if difference < -2147483647 or difference > 2147483647:
            out[n] = 0x00
            out[n + 1] = 0x00
            out[n + 2] = 0x00
            out[n + 3] = 0x80
            n += 4
            size = 8
        for k in range(size):
            out[n + k] = np.uint8((difference >> (8 * k)) & 0xFF)
        n += size
    return n


def encode_byte_offset(image: np.ndarray) -> bytes:
    """Compress pixels as the differences of neighbours.

    Parameters
    ----------
    image : (slow, fast) int32

    Returns
    -------
    bytes

    Notes
    -----
    Bernstein & Hammersley (2005). International Tables for Crystallography G, 2.3.3, "byte_offset".
    """
    values = np.ascontiguousarray(image, dtype=np.int32).reshape(-1)
    if not values.flags.writeable:  # the kernel has one signature
        values = values.copy()
    # Memory for the worst case costs nothing as long as it is not touched.
    out = np.empty(_LONGEST * values.size, np.uint8)
    return out[: _encode(values, out)].tobytes()
