"""Pixels as the Medipix3 chips send them ("R64"): words of 64 bits, the last pixel first."""

from __future__ import annotations

import numpy as np

# Bytes of a pixel by the bits of the counter; that of 24 bits comes as two images of 12.
BYTES = {1: 0.125, 6: 1.0, 12: 2.0, 24: 4.0}


def unpacked(data: np.ndarray, bits: int, shape: tuple[int, int]) -> np.ndarray:
    """Pixels in the order of the rows.

    Parameters
    ----------
    data : (n_bytes,) int8
    bits : 1, 6, 12 or 24
    shape : (slow, fast)
        `fast` is a multiple of 64.

    Returns
    -------
    (slow, fast) uint8, uint16 or uint32
    """
    if bits == 24:
        half = data.size // 2
        high, low = (unpacked(part, 12, shape).astype(np.uint32) for part in (data[:half], data[half:]))
        return (high << 12) + low
    if bits == 12:
        return data.view(">u2").reshape(-1, 4)[:, ::-1].reshape(shape)
    words = data.view(np.uint8).reshape(-1, 8)[:, ::-1]
    if bits == 1:
        words = np.unpackbits(words.reshape(-1), bitorder="little")
    return words.reshape(shape)


def assembled(rows: np.ndarray) -> np.ndarray:
    """The image of a quad, from rows that hold one row of each chip.

    The chips follow each other as 4, 3, 2, 1: 1 and 2 are the upper half, 3 and 4 the lower one, turned by 180 deg.

    Parameters
    ----------
    rows : (n, 4 m) array

    Returns
    -------
    (2 n, 2 m) array
    """
    four, three, two, one = np.split(rows, 4, axis=1)
    upper, lower = np.hstack([one, two]), np.hstack([three[::-1, ::-1], four[::-1, ::-1]])
    return np.vstack([upper, lower])
