"""Loops over Miller indices: mapping into the asymmetric unit of reciprocal space."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def in_reciprocal_asu(h, k, l, code):
    """Whether an index of a reference setting lies in the CCP4 asymmetric unit numbered `code`.

    The ten regions are those of CCP4's ``symlib`` (one per Laue class and choice of axes).
    """
    if code == 0:  # -1
        return l > 0 or (l == 0 and (h > 0 or (h == 0 and k >= 0)))
    if code == 1:  # 2/m
        return k >= 0 and (l > 0 or (l == 0 and h >= 0))
    if code == 2:  # mmm
        return h >= 0 and k >= 0 and l >= 0
    if code == 3:  # 4/m, 6/m
        return l >= 0 and ((h >= 0 and k > 0) or (h == 0 and k == 0))
    if code == 4:  # 4/mmm, 6/mmm
        return h >= k and k >= 0 and l >= 0
    if code == 5:  # -3
        return (h >= 0 and k > 0) or (h == 0 and k == 0 and l >= 0)
    if code == 6:  # -31m
        return h >= k and k >= 0 and (k > 0 or l >= 0)
    if code == 7:  # -3m1
        return h >= k and k >= 0 and (h > k or l >= 0)
    if code == 8:  # m-3
        return h >= 0 and ((l >= h and k > h) or (l == h and k == h))
    return k >= l and l >= h and h >= 0  # m-3m


@njit(nogil=True, cache=True)
def map_to_asu(hkl, rotations, test_rotations, code, hkl_asu, isym):
    """Map indices into the asymmetric unit.

    Parameters
    ----------
    hkl : (n, 3) int32
    rotations : (m, 3, 3) int32
        Rotation parts of the symmetry operators; an index transforms as the row vector h R.
    test_rotations : (m, 3, 3) int32
        The same followed by the (scaled) change to the reference setting, in which the region is defined.
    code : int
        Region, see `in_reciprocal_asu`.
    hkl_asu : (n, 3) int32
        Output.
    isym : (n,) int32
        Output: 2 m + 1 for operator m, 2 m + 2 for its Friedel mate; 0 where no operator maps into the region.
    """
    n_ops = rotations.shape[0]
    for i in range(hkl.shape[0]):
        h, k, l = hkl[i, 0], hkl[i, 1], hkl[i, 2]
        isym[i] = 0
        for m in range(n_ops):
            t = test_rotations[m]
            u = h * t[0, 0] + k * t[1, 0] + l * t[2, 0]
            v = h * t[0, 1] + k * t[1, 1] + l * t[2, 1]
            w = h * t[0, 2] + k * t[1, 2] + l * t[2, 2]
            if in_reciprocal_asu(u, v, w, code):
                sign = 1
                isym[i] = 2 * m + 1
            elif in_reciprocal_asu(-u, -v, -w, code):
                sign = -1
                isym[i] = 2 * m + 2
            else:
                continue
            r = rotations[m]
            for j in range(3):
                hkl_asu[i, j] = sign * (h * r[0, j] + k * r[1, j] + l * r[2, j])
            break


def empty_mapping(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Output arrays of `map_to_asu` for n indices."""
    return np.empty((n, 3), dtype=np.int32), np.empty(n, dtype=np.int32)
