"""Byte-offset decompression."""

from __future__ import annotations

import numba
import numpy as np

U = np.uint64
BLOCK = 16
# Bytes that a block of pixels takes at most: 15 each.
MARGIN = 15 * BLOCK


@numba.njit(nogil=True, cache=True)
def decode_byte_offset(data, out, first, previous):
    """Decode the CBF byte-offset compression.

    Each pixel is the previous one plus a signed difference of 1 byte; -128 announces 2 bytes, -32768 in those announces
    4, and -2**31 in those announces 8 (all little endian). Bernstein & Hammersley (2006), Int. Tables Cryst. G, 2.3.

    Parameters
    ----------
    data : (n_bytes,) int8
        Compressed bytes, all or a piece of them.
    out : (n_pixels,) int32
        Filled with the pixels from `first` on.
    first, previous : int
        Number and value of the pixels decoded from earlier pieces; 0, 0 at the beginning.

    Returns
    -------
    n_pixels : int
        Pixels decoded in all; fewer than ``out.size`` when the data end too early.
    n_bytes : int
        Bytes of `data` used; a step that is cut off at its end is left for the next piece.
    value : int
        Value of the last pixel.
    """
    n_bytes = data.shape[0]
    n_pixels = out.shape[0]
    last_block = U(max(n_pixels - BLOCK + 1, 0))
    last_start = U(max(n_bytes - MARGIN + 1, 0))
    one = U(1)
    value = np.int32(previous)
    # Unsigned positions need no test for negative indices, and 16 pixels at a time are looked at with vector
    # instructions: a block without any escape, as most are, is added up without a branch.
    at = U(0)
    i = U(first)
    while i < last_block and at < last_start:
        has_escape = False
        for k in range(BLOCK):
            has_escape |= data[at + U(k)] == -128
        if not has_escape:
            for k in range(BLOCK):
                value = np.int32(value + data[at + U(k)])
                out[i + U(k)] = value
            at += U(BLOCK)
            i += U(BLOCK)
            continue
        for k in range(BLOCK):
            step = data[at]
            at += one
            if step != -128:
                value = np.int32(value + step)
            else:
                wide = (data[at] & 255) | (data[at + one] << 8)
                at += U(2)
                if wide == -32768:
                    wide = (data[at] & 255) | ((data[at + one] & 255) << 8)
                    wide |= ((data[at + U(2)] & 255) << 16) | (data[at + U(3)] << 24)
                    at += U(4)
                    if wide == -2147483648:
                        # Only the low half of an 8 byte difference can matter to 32-bit pixels.
                        wide = (data[at] & 255) | ((data[at + one] & 255) << 8)
                        wide |= ((data[at + U(2)] & 255) << 16) | (data[at + U(3)] << 24)
                        at += U(8)
                value = np.int32(value + wide)
            out[i + U(k)] = value
        i += U(BLOCK)
    # The last pixels, byte by byte and with every bound checked.
    j = np.int64(at)
    p = np.int64(i)
    while p < n_pixels and j < n_bytes:
        size = 1
        start = j
        if data[j] == -128:
            size = 3
            start = j + 1
            if j + 3 <= n_bytes and data[j + 1] == 0 and data[j + 2] == -128:
                size = 7
                start = j + 3
                if (
                    j + 7 <= n_bytes
                    and data[j + 3] == 0
                    and data[j + 4] == 0
                    and data[j + 5] == 0
                    and data[j + 6] == -128
                ):
                    size = 15
                    start = j + 7
        if j + size > n_bytes:
            break
        wide = np.int64(data[start])
        if size > 1:
            wide = (data[start] & 255) | (data[start + 1] << 8)
        if size > 3:
            wide = (wide & 65535) | ((data[start + 2] & 255) << 16) | (data[start + 3] << 24)
        value = np.int32(value + wide)
        j += size
        out[p] = value
        p += 1
    return p, j, np.int64(value)
