"""Decompression of the nibble-offset pixels of CBF files."""

from __future__ import annotations

import numba
import numpy as np

U = np.uint64


@numba.njit(nogil=True, cache=True)
def decode_nibble_offset(data, out, element_bits):
    """Decode the CBF nibble-offset compression.

    A stream of bits, lowest bit first, that begins with a mode: the length of the differences between neighbours that
    follow it (2, 4, 6, 8, 12, 16, 32 or 64 bits). The most negative difference announces another mode. "Up" modes give
    a single difference of a longer mode and go back; a reset sets the running value to 0. CBFlib manual 0.9.5, section
    3.3.4.

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
        Pixels decoded; fewer than ``out.size`` when the stream ends too early or asks for an address within the image,
        which is not known here.
    n_bytes : int
        Bytes of `data` used.
    """
    modes = np.array([2, 4, 6, 8, 12, 16, 32, 64])
    n_bits = 8 * data.shape[0]
    n_pixels = out.shape[0]
    unused = np.int64(64 - element_bits)
    value = np.int64(0)
    mode = -1
    place = 0
    k = 0
    while k < n_pixels:
        # The new mode: one or two pairs of bits, or two and four bits.
        up = 0
        first, place = _take(data, n_bits, place, 2)
        if first == 2:
            mode = 0
        elif first == 1:
            up = 1
        elif first == 3:
            more, place = _take(data, n_bits, place, 2)
            up = 2 + int(more)
        else:
            second, place = _take(data, n_bits, place, 2)
            if second != 0:
                mode = 1 if second == 1 else 2 if second == 3 else 3
            else:
                third, place = _take(data, n_bits, place, 4)
                if third == 0:
                    if place > n_bits:
                        break
                    value = np.int64(0)
                    continue
                if third == 3:
                    mode = 4
                elif third == 1:
                    mode = 5
                elif third == 2:
                    mode = 6
                elif third == 4:
                    mode = 7
                else:
                    break
        if place > n_bits:
            break
        if up > 0:
            if mode < 0:
                continue
            length = modes[min(mode + up, 7)]
            step, place = _take(data, n_bits, place, length)
            if place > n_bits:
                break
            value = ((value + _signed(step, length)) << unused) >> unused
            out[k] = np.int32(value)
            k += 1
        length = modes[mode]
        change = U(1) << U(length - 1)
        while k < n_pixels:
            step, place = _take(data, n_bits, place, length)
            if place > n_bits or step == change:
                break
            value = ((value + _signed(step, length)) << unused) >> unused
            out[k] = np.int32(value)
            k += 1
        if place > n_bits:
            break
    return k, (min(place, n_bits) + 7) // 8


@numba.njit(nogil=True, cache=True, inline="always")
def _take(data, n_bits, place, length):
    """The number in the next `length` bits, and the place after them; a place beyond `n_bits` when they are missing."""
    number = U(0)
    if place + length > n_bits:
        return number, n_bits + 1
    got = 0
    while got < length:
        at = place >> 3
        skip = place & 7
        n = min(8 - skip, length - got)
        bits = (U(data[at] & 255) >> U(skip)) & ((U(1) << U(n)) - U(1))
        number |= bits << U(got)
        got += n
        place += n
    return number, place


@numba.njit(nogil=True, cache=True, inline="always")
def _signed(bits, length):
    """Two's complement of `length` bits."""
    sign = U(1) << U(length - 1)
    return np.int64((bits ^ sign) - sign)
