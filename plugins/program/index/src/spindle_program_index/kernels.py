"""Loops over spots: index assignment."""

from __future__ import annotations

import math

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def nearest_indices(rlp, A_inverse, hkl, distance):
    """Nearest lattice point of each spot, over several lattices.

    Parameters
    ----------
    rlp : (n, 3) float64, 1/angstrom
    A_inverse : (m, 3, 3) float64
        One per lattice.
    hkl : (n, 3) int32
        Output: index in the lattice that fits best.
    distance : (n,) float64
        Output: squared distance from it, in indices.

    Returns
    -------
    (n,) int32
        The lattice.
    """
    n = rlp.shape[0]
    lattice = np.zeros(n, np.int32)
    for i in range(n):
        best = 1e300
        x, y, z = rlp[i, 0], rlp[i, 1], rlp[i, 2]
        for m in range(A_inverse.shape[0]):
            a = A_inverse[m]
            h = a[0, 0] * x + a[0, 1] * y + a[0, 2] * z
            k = a[1, 0] * x + a[1, 1] * y + a[1, 2] * z
            l = a[2, 0] * x + a[2, 1] * y + a[2, 2] * z
            rh, rk, rl = math.floor(h + 0.5), math.floor(k + 0.5), math.floor(l + 0.5)
            e = (h - rh) ** 2 + (k - rk) ** 2 + (l - rl) ** 2
            if e < best:
                best = e
                lattice[i] = m
                hkl[i, 0], hkl[i, 1], hkl[i, 2] = np.int32(rh), np.int32(rk), np.int32(rl)
        distance[i] = best
    return lattice


@njit(nogil=True, cache=True)
def drop_duplicates(order, starts, phi, distance, accepted):
    """Where spots share an index within 45 degrees of rotation, only the nearest to the lattice point keeps it.

    Parameters
    ----------
    order : (n,) int64
        Accepted spots, those with the same lattice and index next to each other.
    starts : (m + 1,) int64
        Where each such group begins in `order`.
    phi : (n_all,) float64, radians
    distance : (n_all,) float64
    accepted : (n_all,) bool
        Changed in place.
    """
    limit = math.pi / 4
    for g in range(len(starts) - 1):
        for i in range(starts[g], starts[g + 1] - 1):
            a = order[i]
            if not accepted[a]:
                continue
            for j in range(i + 1, starts[g + 1]):
                b = order[j]
                if not accepted[b] or abs(phi[a] - phi[b]) > limit:
                    continue
                if distance[b] < distance[a]:
                    accepted[a] = False
                    break
                accepted[b] = False
