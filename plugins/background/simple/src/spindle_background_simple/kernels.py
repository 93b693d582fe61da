"""Least-squares background models of ragged shoeboxes.

Arrays: data (p,) float32 counts, used (p,) uint8, mask (p,) uint8, bbox (n, 6) int32 as x0 x1 y0 y1 z0 z1, offsets (n +
1,) int64. Results: background (p,) float32, mean_variance (n,) float64 (variance of the mean background under the
foreground), success (n,) bool.
"""

from __future__ import annotations

import numba

__all__ = ["fit_constant", "fit_linear"]

FOREGROUND = 4


@numba.njit(nogil=True, cache=True)
def fit_constant(data, used, mask, bbox, offsets, per_slice, min_pixels, background, mean_variance, success):
    """Mean of the used pixels of each slice (``per_slice``) or of the whole shoebox.

    It may lie below zero: an integrating camera whose pedestal was taken off scatters about nothing.
    """
    for i in range(success.shape[0]):
        first, last = offsets[i], offsets[i + 1]
        n_groups = bbox[i, 5] - bbox[i, 4] if per_slice else 1
        step = (last - first) // max(n_groups, 1)
        n_used = 0
        n_foreground = 0
        for k in range(first, last):
            if used[k] != 0:
                n_used += 1
            if mask[k] & FOREGROUND:
                n_foreground += 1
        if n_used < min_pixels or n_used < 1:
            continue
        good = True
        variance_of_mean = 0.0
        for g in range(n_groups):
            start = first + g * step
            n = 0
            m = 0
            total = 0.0
            for k in range(start, start + step):
                if mask[k] & FOREGROUND:
                    m += 1
                if used[k] != 0:
                    n += 1
                    total += data[k]
            if n < min(2, n_used):
                good = False
                break
            mean = total / n
            squares = 0.0
            for k in range(start, start + step):
                if used[k] != 0:
                    squares += (data[k] - mean) ** 2
                background[k] = mean
            weight = m / n_foreground if n_foreground > 0 else 1.0 / n_groups
            variance_of_mean += weight * weight * squares / (max(n - 1, 1) * n)
        success[i] = good
        mean_variance[i] = variance_of_mean


@numba.njit(nogil=True, cache=True)
def fit_linear(data, used, mask, bbox, offsets, per_slice, min_pixels, background, mean_variance, success):
    """Plane a + b x + c y of each slice (``per_slice``), or a + b x + c y + d z of the whole shoebox.

    Coordinates are centred on the used pixels, so the normal equations reduce to a 2 x 2 or 3 x 3 covariance. Where the
    used pixels all lie in one slice, d cannot be known and the plane is taken. Pixels on one line: failure.
    """
    for i in range(success.shape[0]):
        first, last = offsets[i], offsets[i + 1]
        nx = bbox[i, 1] - bbox[i, 0]
        ny = bbox[i, 3] - bbox[i, 2]
        n_groups = bbox[i, 5] - bbox[i, 4] if per_slice else 1
        nz = 1 if per_slice else bbox[i, 5] - bbox[i, 4]
        step = nz * ny * nx
        n_used = 0
        n_foreground = 0
        for k in range(first, last):
            if used[k] != 0:
                n_used += 1
            if mask[k] & FOREGROUND:
                n_foreground += 1
        if n_used < max(min_pixels, 1):
            continue
        good = True
        variance_of_mean = 0.0
        for g in range(n_groups):
            start = first + g * step
            n = m = 0
            mx = my = mz = mv = 0.0  # means over the used pixels
            fx = fy = fz = 0.0  # means over the foreground
            k = start
            for iz in range(nz):
                for iy in range(ny):
                    for ix in range(nx):
                        if mask[k] & FOREGROUND:
                            m += 1
                            fx += ix
                            fy += iy
                            fz += iz
                        if used[k] != 0:
                            n += 1
                            mx += ix
                            my += iy
                            mz += iz
                            mv += data[k]
                        k += 1
            if n < 4:
                good = False
                break
            mx /= n
            my /= n
            mz /= n
            mv /= n
            cxx = cxy = cxz = cyy = cyz = czz = cxv = cyv = czv = cvv = 0.0
            k = start
            for iz in range(nz):
                z = iz - mz
                for iy in range(ny):
                    y = iy - my
                    for ix in range(nx):
                        if used[k] != 0:
                            x = ix - mx
                            v = data[k] - mv
                            cxx += x * x
                            cxy += x * y
                            cyy += y * y
                            cxz += x * z
                            cyz += y * z
                            czz += z * z
                            cxv += x * v
                            cyv += y * v
                            czv += z * v
                            cvv += v * v
                        k += 1
            det2 = cxx * cyy - cxy * cxy
            if det2 <= 1e-9 * cxx * cyy or det2 <= 0.0:
                good = False
                break
            # what x and y leave over of z; less than one slice in all: no slope along z
            zx = (cxz * cyy - cyz * cxy) / det2
            zy = (cyz * cxx - cxz * cxy) / det2
            rest = czz - zx * cxz - zy * cyz
            d = 0.0
            sloped = rest > 1e-9 * czz and rest > 1e-9
            if sloped:
                d = (czv - zx * cxv - zy * cyv) / rest
            b = ((cxv - d * cxz) * cyy - (cyv - d * cyz) * cxy) / det2
            c = ((cyv - d * cyz) * cxx - (cxv - d * cxz) * cxy) / det2
            n_parameters = 4 if sloped else 3
            residual = max(cvv - b * cxv - c * cyv - d * czv, 0.0) / max(n - n_parameters, 1)
            k = start
            for iz in range(nz):
                for iy in range(ny):
                    level = mv + c * (iy - my) + d * (iz - mz) - b * mx
                    for ix in range(nx):
                        background[k] = level + b * ix
                        k += 1
            leverage = 1.0 / n
            if m > 0:
                x = fx / m - mx
                y = fy / m - my
                z = fz / m - mz
                leverage += (x * x * cyy - 2.0 * x * y * cxy + y * y * cxx) / det2
                if sloped:
                    leverage += (z - zx * x - zy * y) ** 2 / rest
            weight = m / n_foreground if n_foreground > 0 else 1.0 / n_groups
            variance_of_mean += weight * weight * residual * leverage
        success[i] = good
        mean_variance[i] = variance_of_mean
