"""Byte-offset decompression."""

from __future__ import annotations

import numba


@numba.njit(nogil=True, cache=True)
def decode_byte_offset(data, out):
    """Decode the CBF byte-offset compression.

    Each pixel is the previous one plus a signed difference of 1 byte; -128 announces 2 bytes, -32768 in those announces
    4, and
    -2**31 in those announces 8 (all little endian). Bernstein & Hammersley (2006), Int. Tables Cryst. G, 2.3.

    Parameters
    ----------
    data : (n_bytes,) int8
        Compressed bytes.
    out : (n_pixels,) int32
        Filled with the pixels.

    Returns
    -------
    n_pixels, n_bytes : int
        Pixels decoded and bytes read; fewer pixels than ``out.size`` when the data end too early.
    """
    n_bytes = data.shape[0]
    n_pixels = out.shape[0]
    # Away from the end of the data no bounds need checking: a pixel takes 15 bytes at most.
    safe = n_bytes - 15
    value = 0
    at = 0
    i = 0
    while i < n_pixels and at < safe:
        step = data[at]
        at += 1
        if step != -128:
            value += step
        else:
            wide = (data[at] & 255) | (data[at + 1] << 8)
            at += 2
            if wide == -32768:
                wide = (
                    (data[at] & 255) | ((data[at + 1] & 255) << 8) | ((data[at + 2] & 255) << 16) | (data[at + 3] << 24)
                )
                at += 4
                if wide == -2147483648:
                    # Only the low half of an 8 byte difference can matter to 32-bit pixels.
                    wide = (
                        (data[at] & 255)
                        | ((data[at + 1] & 255) << 8)
                        | ((data[at + 2] & 255) << 16)
                        | (data[at + 3] << 24)
                    )
                    at += 8
            value += wide
        out[i] = value
        i += 1
    while i < n_pixels and at < n_bytes:
        size = 1
        start = at
        if data[at] == -128:
            size = 3
            start = at + 1
            if at + 3 <= n_bytes and data[at + 1] == 0 and data[at + 2] == -128:
                size = 7
                start = at + 3
                if (
                    at + 7 <= n_bytes
                    and data[at + 3] == 0
                    and data[at + 4] == 0
                    and data[at + 5] == 0
                    and data[at + 6] == -128
                ):
                    size = 15
                    start = at + 7
        if at + size > n_bytes:
            break
        if size == 1:
            value += data[start]
        elif size == 3:
            value += (data[start] & 255) | (data[start + 1] << 8)
        else:
            value += (
                (data[start] & 255)
                | ((data[start + 1] & 255) << 8)
                | ((data[start + 2] & 255) << 16)
                | (data[start + 3] << 24)
            )
        at += size
        out[i] = value
        i += 1
    return i, at
