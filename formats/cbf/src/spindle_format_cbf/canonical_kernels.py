"""Decompression of the canonical-code pixels of CBF files."""

from __future__ import annotations

import numba
import numpy as np

LONGEST = 64


@numba.njit(nogil=True, cache=True)
def decode_canonical(data, out, element_bits):
    """Decode the CBF canonical-code compression.

    After 32 bytes come the number n of bits of errors that have a code of their own, the number of bits of the longest
    error and the length of each code: of the 2**n errors from 0 up and then from -2**(n-1) up, of the end, and of
    "an error of k bits follows" for k from n + 1. Longer codes are smaller numbers, equally long ones ascend; they are
    stored from their highest bit on, errors from their lowest. An error counts from the pixel before. CBFlib manual
    0.9.5, section 3.3.1, and Moffat, Bell & Witten (1997), Int. J. High Speed Electron. Syst. 8, 179.

    Parameters
    ----------
    data : (n_bytes,) int8
    out : (n_pixels,) int32
        Filled with the pixels, as signed numbers of `element_bits`.
    element_bits : int
        8, 16 or 32.

    Returns
    -------
    n_pixels : int
        Pixels decoded; fewer than ``out.size`` when the stream ends too early or has a code that is not in its table.
    n_bytes : int
        Bytes of `data` used.
    """
    n_bytes = data.shape[0]
    n_pixels = out.shape[0]
    if n_bytes < 34:
        return 0, n_bytes
    direct = int(data[32] & 255)
    longest_error = int(data[33] & 255)
    if direct > 16 or longest_error < direct or longest_error > 65:
        return 0, n_bytes
    stop = 1 << direct
    n_codes = stop + 1 + longest_error - direct
    start = 34 + n_codes
    if n_bytes < start:
        return 0, n_bytes
    # Codes by length: how many, the first number, and where their symbols begin.
    count = np.zeros(LONGEST + 2, np.int64)
    for i in range(n_codes):
        length = int(data[34 + i] & 255)
        if length > LONGEST - 1:
            return 0, n_bytes
        count[length] += 1
    first = np.zeros(LONGEST + 2, np.int64)
    begin = np.zeros(LONGEST + 2, np.int64)
    code = 0
    placed = 0
    for length in range(LONGEST - 1, 0, -1):
        first[length] = code
        begin[length] = placed
        placed += count[length]
        code = (code + count[length] + 1) >> 1
    filled = begin.copy()
    symbols = np.zeros(placed, np.int64)
    for i in range(n_codes):
        length = int(data[34 + i] & 255)
        if length > 0:
            symbols[filled[length]] = i
            filled[length] += 1
    unused = np.int64(64 - element_bits)
    n_bits = 8 * n_bytes
    place = 8 * start
    value = np.int64(0)
    k = 0
    while k < n_pixels:
        code = 0
        symbol = -1
        for length in range(1, LONGEST):
            if place >= n_bits:
                return k, n_bytes
            code = (code << 1) | ((int(data[place >> 3]) >> (place & 7)) & 1)
            place += 1
            rank = code - first[length]
            if 0 <= rank < count[length]:
                symbol = symbols[begin[length] + rank]
                break
        if symbol < 0 or symbol == stop:
            return k, (place + 7) >> 3
        if symbol < stop:
            step = symbol - stop if 2 * symbol >= stop and stop > 1 else symbol
        else:
            length = symbol - stop + direct
            if place + length > n_bits:
                return k, n_bytes
            step = np.int64(0)
            for i in range(length):
                bit = np.int64((int(data[place >> 3]) >> (place & 7)) & 1)
                place += 1
                if i < 64:
                    step |= bit << i
            if length < 64:
                step = (step << (64 - length)) >> (64 - length)
        value = ((value + step) << unused) >> unused
        out[k] = np.int32(value)
        k += 1
    return k, (place + 7) >> 3
