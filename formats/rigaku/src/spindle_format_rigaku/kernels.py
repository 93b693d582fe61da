"""Decompression of bit fields, the TY6 compression of CrysAlis."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(nogil=True, cache=True)
def decode_bit_fields(data, starts, out):
    """Decode rows of pixels that are stored as differences in fields of few bits.

    A row is a number, then pairs of fields of eight differences each, then the differences that do not fill a pair as
    numbers. A pair has a byte with the bits per difference of its first (low half) and its second field (high half),
    the fields, lowest bits first, and the differences that did not fit. n bits hold a difference plus 2**(n-1) - 1. A
    number is a byte that holds it plus 127, where 254 announces 2 and 255 announces 4 bytes instead (little endian);
    in fields of 8 bits these bytes announce what follows both fields. Rigaku's description of the Esperanto format
    (AGI_BITFIELD), as fabio writes it.

    Parameters
    ----------
    data : (n_bytes,) uint8
        Compressed bytes.
    starts : (slow,) int64
        First byte of each row; -1 where it is not known.
    out : (slow, fast) int32
        Filled with the pixels.

    Returns
    -------
    n_rows : int
        Rows decoded; fewer than there are when one does not begin where `starts` says or has not got all its bytes.
    n_bytes : int
        Bytes used.
    """
    n_bytes = data.shape[0]
    n_pairs = (out.shape[1] - 1) // 16
    steps = np.empty(16, np.int64)
    at = 0
    for row in range(out.shape[0]):
        if (starts[row] >= 0 and starts[row] != at) or at >= n_bytes:
            return row, at
        size, step = _number(data, at, 127)
        at += size
        if at > n_bytes:
            return row, at
        value = step
        out[row, 0] = value
        column = 1
        for _ in range(n_pairs):
            if at >= n_bytes:
                return row, at
            head = np.int64(data[at])
            bits = (head & 15, head >> 4)
            at += 1
            if bits[0] > 8 or bits[1] > 8 or at + bits[0] + bits[1] > n_bytes:
                return row, at
            for half in range(2):
                n = bits[half]
                field = np.uint64(0)
                for i in range(n):
                    field |= np.uint64(data[at + i]) << np.uint64(8 * i)
                at += n
                zero = (1 << (n - 1)) - 1 if n else 0
                for i in range(8):
                    steps[8 * half + i] = np.int64((field >> np.uint64(n * i)) & np.uint64((1 << n) - 1)) - zero
            for i in range(16):
                step = steps[i]
                if bits[i >> 3] == 8 and step > 126:
                    size, step = _wide(data, at, step + 127)
                    at += size
                    if at > n_bytes:
                        return row, at
                value += step
                out[row, column] = value
                column += 1
        while column < out.shape[1]:
            if at >= n_bytes:
                return row, at
            size, step = _number(data, at, 127)
            at += size
            if at > n_bytes:
                return row, at
            value += step
            out[row, column] = value
            column += 1
    return out.shape[0], at


@numba.njit(nogil=True, cache=True)
def _wide(data, at, mark):
    """Bytes and value of a little-endian number of 2 (mark 254) or 4 bytes; a value of 0 beyond the end."""
    size = 2 if mark == 254 else 4
    value = np.int64(0)
    if at + size <= data.shape[0]:
        for i in range(size):
            value |= np.int64(data[at + i]) << (8 * i)
        sign = np.int64(1) << (8 * size - 1)
        value = (value ^ sign) - sign
    return size, value


@numba.njit(nogil=True, cache=True)
def _number(data, at, zero):
    """Bytes and value of a number of one byte, or of a mark and 2 or 4 bytes."""
    byte = np.int64(data[at])
    if byte < 254:
        return 1, byte - zero
    size, value = _wide(data, at + 1, byte)
    return size + 1, value
