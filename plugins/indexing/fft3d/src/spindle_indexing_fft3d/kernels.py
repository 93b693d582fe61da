"""Connected peaks of a periodic map given by its half spectrum of voxels above a threshold."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def connected_peaks(keys, n, sizes, sums):
    """Flood fill of the voxels of a periodic cubic map.

    Parameters
    ----------
    keys : (m,) int64
        Voxels (i n + j) n + k of the map, ascending.
    n : int
        Voxels along an edge.
    sizes : (m,) int64
        Output: voxels of each peak.
    sums : (m, 3) int64
        Output: sums of i, j, k over the peak, counted on from its first voxel across the edges of the map.

    Returns
    -------
    int
        Number of peaks, in the order of their first voxels.
    """
    m = len(keys)
    seen = np.zeros(m, np.bool_)
    stack = np.empty(m, np.int64)
    where = np.empty((m, 3), np.int64)  # unwrapped place of each voxel
    n_peaks = 0
    for first in range(m):
        if seen[first]:
            continue
        size = 0
        total_i, total_j, total_k = 0, 0, 0
        seen[first] = True
        stack[0] = first
        key = keys[first]
        where[first, 0], where[first, 1], where[first, 2] = key // (n * n), (key // n) % n, key % n
        depth = 1
        while depth > 0:
            depth -= 1
            here = stack[depth]
            i, j, k = where[here, 0], where[here, 1], where[here, 2]
            size += 1
            total_i += i
            total_j += j
            total_k += k
            for step in range(6):
                u, v, w = i, j, k
                if step == 0:
                    u += 1
                elif step == 1:
                    u -= 1
                elif step == 2:
                    v += 1
                elif step == 3:
                    v -= 1
                elif step == 4:
                    w += 1
                else:
                    w -= 1
                wanted = ((u % n) * n + v % n) * n + w % n
                low, high = 0, m
                while low < high:
                    middle = (low + high) // 2
                    if keys[middle] < wanted:
                        low = middle + 1
                    else:
                        high = middle
                if low < m and keys[low] == wanted and not seen[low]:
                    seen[low] = True
                    where[low, 0], where[low, 1], where[low, 2] = u, v, w
                    stack[depth] = low
                    depth += 1
        sizes[n_peaks] = size
        sums[n_peaks, 0], sums[n_peaks, 1], sums[n_peaks, 2] = total_i, total_j, total_k
        n_peaks += 1
    return n_peaks
