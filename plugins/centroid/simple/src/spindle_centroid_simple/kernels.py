"""Weighted means and variances of ragged shoeboxes."""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["centroids"]


@njit(nogil=True, cache=True)
def _any(codes, bits, wanted):
    """Whether one of the codes (n,) uint8 has of the ``bits`` just those that are ``wanted``. Without branches."""
    found = np.uint8(0)
    for k in range(codes.shape[0]):
        found |= np.uint8((codes[k] & bits) == wanted)
    return found != np.uint8(0)


@njit(nogil=True, cache=True)
def centroids(bbox, offsets, data, mask, background, wanted, unwanted, position, variance, success):
    """Intensity-weighted mean position and its variance for each shoebox.

    Parameters
    ----------
    bbox : (n, 6) int32
    offsets : (n + 1,) int64
    data, background : (p,) float32, counts
    mask : (p,) uint8
    wanted, unwanted : int
        Mask bits that a pixel must all have, and of which it must have none.
    position, variance : (n, 3) float64
        Results.
    success : (n,) bool
        Result: whether the intensity is positive.

    Notes
    -----
    With W the sum of the weights and W2 that of their squares, the variance of a coordinate is
    S W / (W^2 - W2) / W + 1/12, S being the weighted sum of squared distances from the mean.
    """
    for i in range(bbox.shape[0]):
        x0, x1, y0, y1, z0, z1 = bbox[i, 0], bbox[i, 1], bbox[i, 2], bbox[i, 3], bbox[i, 4], bbox[i, 5]
        total = 0.0
        squares = 0.0
        sum_x = 0.0
        sum_y = 0.0
        sum_z = 0.0
        # Two passes: the second takes distances from the mean, so that nothing is lost in a difference of large
        # numbers. It looks at the rectangle in which the first has found something.
        nx, ny, nz = x1 - x0, y1 - y0, (z1 - z0 if offsets[i + 1] > offsets[i] else 0)
        left, right, top, bottom = nx, 0, ny, 0
        for second in range(2):
            sxx = 0.0
            syy = 0.0
            szz = 0.0
            for z in range(nz):
                for y in range(0 if second == 0 else top, ny if second == 0 else bottom):
                    k = offsets[i] + (z * ny + y) * nx
                    if second == 0:
                        if not _any(mask[k : k + nx], np.uint8(wanted | unwanted), np.uint8(wanted)):
                            continue
                        top, bottom = min(top, y), max(bottom, y + 1)
                    for x in range(0 if second == 0 else left, nx if second == 0 else right):
                        code = mask[k + x]
                        if (code & wanted) == wanted and (code & unwanted) == 0:
                            w = np.float64(data[k + x]) - np.float64(background[k + x])
                            if second == 0:
                                total += w
                                squares += w * w
                                sum_x += w * (x + 0.5)
                                sum_y += w * (y + 0.5)
                                sum_z += w * (z + 0.5)
                                left, right = min(left, x), max(right, x + 1)
                            else:
                                sxx += w * (x + 0.5 - sum_x) ** 2
                                syy += w * (y + 0.5 - sum_y) ** 2
                                szz += w * (z + 0.5 - sum_z) ** 2
            if second == 0:
                if not total > 0.0:
                    break
                sum_x /= total
                sum_y /= total
                sum_z /= total
        # With negative weights the mean may fall outside the box: then there is no spot whose place could be told.
        inside = 0.0 <= sum_x <= x1 - x0 and 0.0 <= sum_y <= y1 - y0 and 0.0 <= sum_z <= z1 - z0
        success[i] = total > 0.0 and inside
        if not success[i]:
            position[i, :] = 0.0
            variance[i, :] = 0.0
            continue
        position[i, 0] = x0 + sum_x
        position[i, 1] = y0 + sum_y
        position[i, 2] = z0 + sum_z
        free = total * total - squares
        factor = 1.0 / free if free > 0.0 else 0.0
        # Negative weights (background above the data) must not make a negative variance.
        variance[i, 0] = max(sxx * factor, 0.0) + 1.0 / 12.0
        variance[i, 1] = max(syy * factor, 0.0) + 1.0 / 12.0
        variance[i, 2] = max(szz * factor, 0.0) + 1.0 / 12.0
