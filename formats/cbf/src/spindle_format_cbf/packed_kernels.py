"""Decompression of the CCP4-style packed pixels of CBF files: CBF_PACKED and CBF_PACKED_V2."""

from __future__ import annotations

import numba
import numpy as np

U = np.uint64


@numba.njit(nogil=True, cache=True)
def decode_packed(data, out, fast, slow, version, element_bits, is_flat, is_correlated):
    """Decode a packed stream of bits.

    The stream, lowest bit first, is made of blocks. A block begins with 3 bits, the binary logarithm of how many offsets
    follow, and an index (3 bits in version 1, 4 in version 2) into the lengths that an offset may have. An offset is
    signed and counts from the average of the neighbours that have been decoded: the pixel before and three of the row
    before, and where the section before is correlated the pixels below these; those that would lie beyond an edge are
    left out. "Flat" streams count from the pixel before. CBFlib manual 0.9.5, section 3.3.2; the rounding of averages
    (half is added, then cut off towards zero) was found from files written by CBFlib.

    Parameters
    ----------
    data : (n_bytes,) int8
        Compressed bytes, with the 32 bytes that precede the stream.
    out : (n_pixels,) int32, or int64 for elements of 64 bits
        Filled with the pixels, as signed numbers of `element_bits`.
    fast, slow : int
        Pixels of a row and rows of a section.
    version : 1 or 2
    element_bits : int
        8, 16, 32 or 64: length of the pixels and of the longest offset.
    is_flat : bool
    is_correlated : bool
        Average over the section before, too.

    Returns
    -------
    n_pixels : int
        Pixels decoded; fewer than ``out.size`` when the stream ends too early.
    n_bytes : int
        Bytes of `data` used.
    """
    n_bytes = data.shape[0]
    n_pixels = out.shape[0]
    if version == 1:
        lengths = np.array([0, 4, 5, 6, 7, 8, 16, 0])
        kind_bits = U(3)
    else:
        lengths = np.array([0, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 0])
        kind_bits = U(4)
    lengths[-1] = 65 if is_flat else element_bits
    head_bits = kind_bits + U(3)
    unused = np.int64(64 - element_bits)
    section = fast * slow
    word = U(0)
    have = U(0)
    at = 32
    k = 0
    row_start = 0
    section_start = 0
    while k < n_pixels:
        while have < head_bits:
            if at >= n_bytes:
                return k, at
            word |= U(data[at] & 255) << have
            have += U(8)
            at += 1
        count = 1 << (word & U(7))
        length = lengths[(word >> U(3)) & ((U(1) << kind_bits) - U(1))]
        word >>= head_bits
        have -= head_bits
        low_bits = U(min(length, 32))
        high_bits = U(min(max(length - 32, 0), 32))
        sign = U(1) << (low_bits + high_bits - U(1)) if length else U(0)
        for _ in range(min(count, n_pixels - k)):
            while have < low_bits:
                if at >= n_bytes:
                    return k, at
                word |= U(data[at] & 255) << have
                have += U(8)
                at += 1
            bits = word & ((U(1) << low_bits) - U(1))
            word >>= low_bits
            have -= low_bits
            if length > 32:
                while have < high_bits:
                    if at >= n_bytes:
                        return k, at
                    word |= U(data[at] & 255) << have
                    have += U(8)
                    at += 1
                bits |= (word & ((U(1) << high_bits) - U(1))) << U(32)
                word >>= high_bits
                have -= high_bits
                if length == 65:
                    # The sign once more.
                    if have == U(0):
                        if at >= n_bytes:
                            return k, at
                        word = U(data[at] & 255)
                        have = U(8)
                        at += 1
                    word >>= U(1)
                    have -= U(1)
            step = np.int64((bits ^ sign) - sign)
            if k - row_start == fast:
                row_start = k
                if k - section_start == section:
                    section_start = k
            column = k - row_start
            if is_flat or (row_start == section_start and column > 0):
                base = np.int64(out[k - 1]) if k > 0 else np.int64(0)
            elif row_start == section_start:
                base = np.int64(out[k - section]) if k > 0 else np.int64(0)
            elif 0 < column < fast - 1:
                # Nearly all pixels. Sums overflow as numbers of the pixels' length do; shifts round down.
                up = k - fast
                base = np.int64(out[k - 1]) + np.int64(out[up - 1]) + np.int64(out[up]) + np.int64(out[up + 1]) + 2
                if is_correlated and section_start > 0:
                    below = k - section
                    up = below - fast
                    base += np.int64(out[below]) + np.int64(out[up - 1]) + np.int64(out[up]) + np.int64(out[up + 1]) + 2
                    base = ((base << unused) >> unused) >> 3
                else:
                    base = ((base << unused) >> unused) >> 2
            else:
                base = np.int64(0)
                n = 0
                for layer in range(2 if is_correlated and section_start > 0 else 1):
                    here = k - layer * section
                    up = here - fast
                    base += out[up]
                    n += 1
                    if column > 0:
                        base += out[here - 1 + layer]
                        n += 1
                    elif fast > 1:
                        base += out[up + 1]
                        n += 1
                if n > 1:
                    base = ((base + (n >> 1)) << unused) >> unused
                    base >>= 1 if n == 2 else 2
            out[k] = ((base + step) << unused) >> unused
            k += 1
    return k, at
