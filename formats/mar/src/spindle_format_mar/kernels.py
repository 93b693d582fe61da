"""How far the packed pixels of a mar345 image reach."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(nogil=True, cache=True)
def packed_end(data: np.ndarray, n_pixels: int, width: int, sizes: np.ndarray) -> int:
    """Bytes that the packed pixels take, from the headers of their blocks alone; -1 when the data end before.

    Parameters
    ----------
    data : (n_bytes,) uint8
        From the first block on.
    n_pixels : int
    width : int
        Bits of each of the two numbers of a block's header, 3 or 4.
    sizes : (n,) int64
        Bits of a pixel by the second number.

    Returns
    -------
    int

    Notes
    -----
    A block says the binary logarithm of its number of pixels and how many bits each takes; bits run from the lowest of a
    byte to the highest (J. P. Abrahams, 1993, CCP4 pack_c).
    """
    place, found, mask = 0, 0, (1 << width) - 1
    while found < n_pixels:
        byte = place >> 3
        if byte >= data.size:
            return -1
        word = np.int64(data[byte])
        if byte + 1 < data.size:
            word |= np.int64(data[byte + 1]) << 8
        word >>= place & 7
        count = 1 << (word & mask)
        place += 2 * width + count * sizes[(word >> width) & mask]
        found += count
    end = (place + 7) >> 3
    return end if end <= data.size else -1
