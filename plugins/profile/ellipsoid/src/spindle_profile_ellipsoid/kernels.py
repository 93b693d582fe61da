"""Pixels of spots: moments, masks and fits of normal distributions.

``rays`` are those of `geometry.rays_of_pixels`; coordinates are in 1/angstrom in the frame of each point.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from spindle_lib_spot_frames import in_frame, in_frame_with_slopes

VALID, FOREGROUND, OVERLAPPED = 1, 4, 32


@numba.njit(nogil=True, cache=True)
def spot_moments(rays, bbox, offsets, data, mask, background):
    """Counts, first and second moments of the foreground of spots.

    Parameters
    ----------
    rays : (n, 15) float64
    bbox : (n, 6) int32; offsets : (n + 1,) int64; data, background : (p,) float32; mask : (p,) uint8

    Returns
    -------
    (n, 7) float64
        Sum of counts c above the background; sums of c u, c w, c u u, c u w, c w w; least of the data that count.
    """
    n = bbox.shape[0]
    out = np.zeros((n, 7))
    for r in range(n):
        e = rays[r]
        k = offsets[r]
        least = np.inf
        if offsets[r + 1] > k:
            for _z in range(bbox[r, 4], bbox[r, 5]):
                for y in range(bbox[r, 2], bbox[r, 3]):
                    for x in range(bbox[r, 0], bbox[r, 1]):
                        if (mask[k] & (VALID | FOREGROUND)) == (VALID | FOREGROUND):
                            c = data[k] - background[k]
                            u, w = in_frame(e, x + 0.5, y + 0.5)
                            out[r, 0] += c
                            out[r, 1] += c * u
                            out[r, 2] += c * w
                            out[r, 3] += c * u * u
                            out[r, 4] += c * u * w
                            out[r, 5] += c * w * w
                            least = min(least, data[k])
                        k += 1
        out[r, 6] = least if least < np.inf else 0.0
    return out


@numba.njit(nogil=True, cache=True)
def image_counts(bbox, offsets, data, mask, background, first, out):
    """Counts above the background in the foreground of each spot on each of its images, into ``out[first[r] + image]``."""
    for r in range(bbox.shape[0]):
        k = offsets[r]
        area = (bbox[r, 1] - bbox[r, 0]) * (bbox[r, 3] - bbox[r, 2])
        if offsets[r + 1] == k:
            continue
        for z in range(bbox[r, 5] - bbox[r, 4]):
            total = 0.0
            for _ in range(area):
                if (mask[k] & (VALID | FOREGROUND)) == (VALID | FOREGROUND):
                    total += data[k] - background[k]
                k += 1
            out[first[r] + z] = total


@numba.njit(nogil=True, cache=True)
def ellipse_masks(rays, mean, inverse, bbox, offsets, near, far):
    """Which pixels of each box have a corner inside an ellipse.

    Parameters
    ----------
    rays : (n, 15) float64
    mean : (n, 2) float64
    inverse : (n, 3) float64
        Inverse covariance: uu, uw, ww.
    bbox : (n, 6) int32; offsets : (n + 1,) int64
        Start of each (ny, nx) rectangle in the result.
    near, far : float
        Squares of the radii of the foreground and of the halo about it, in standard deviations.

    Returns
    -------
    (offsets[-1],) uint8
        1 inside, 2 in the halo, 0 outside.
    """
    n = bbox.shape[0]
    out = np.zeros(offsets[n], np.uint8)
    for r in range(n):
        nx, ny = bbox[r, 1] - bbox[r, 0], bbox[r, 3] - bbox[r, 2]
        e = rays[r]
        for j in range(ny + 1):
            y = float(bbox[r, 2] + j)
            for i in range(nx + 1):
                x = float(bbox[r, 0] + i)
                u, w = in_frame(e, x, y)
                u, w = u - mean[r, 0], w - mean[r, 1]
                square = inverse[r, 0] * u * u + 2.0 * inverse[r, 1] * u * w + inverse[r, 2] * w * w
                if square > far:
                    continue
                for b in range(max(j - 1, 0), min(j + 1, ny)):
                    for a in range(max(i - 1, 0), min(i + 1, nx)):
                        k = offsets[r] + b * nx + a
                        if square <= near:
                            out[k] = 1
                        elif out[k] == 0:
                            out[k] = 2
    return out


@numba.njit(nogil=True, cache=True)
def _of_image(z, low_z, steps, normal):
    """Share of a normal distribution in the normal direction that image z records, and its mean and variance there."""
    if steps == 0.0:
        return 1.0, 0.0, 0.0
    sd = math.sqrt(normal)
    a, b = (z - low_z) * steps / sd, (z + 1.0 - low_z) * steps / sd
    if b < a:
        a, b = b, a
    share = 0.5 * (math.erf(b * 0.7071067811865476) - math.erf(a * 0.7071067811865476))
    if share < 1e-12:
        return 0.0, 0.0, 0.0
    pa, pb = math.exp(-0.5 * a * a) * 0.3989422804014327, math.exp(-0.5 * b * b) * 0.3989422804014327
    mean = (pa - pb) / share
    variance = 1.0 + (a * pa - b * pb) / share - mean * mean
    return share, mean * sd, max(variance, 0.0) * normal


@numba.njit(nogil=True, cache=True)
def profile_of(rays, mean, momentary, drift, normal, steps, z, bbox, n_sub, out):
    """Part of the photons of one spot in each pixel of its box, into ``out`` (nz, ny, nx).

    Parameters
    ----------
    rays : (15,); mean : (2,); momentary : (3,) uu, uw, ww; drift : (2,); normal : float
        Of the spot, see `geometry.Seen`.
    steps : float, 1/angstrom per image
        How far the point moves across the sphere; 0 for stills.
    z : float
        Predicted array index.
    bbox : (6,) int32
    n_sub : int
        A pixel is looked at in n_sub x n_sub points.
    """
    nx, ny, nz = bbox[1] - bbox[0], bbox[3] - bbox[2], bbox[5] - bbox[4]
    e = rays
    share_of_sub = 1.0 / (n_sub * n_sub)
    for m in range(nz):
        share, moved, variance = _of_image(float(bbox[4] + m), z, steps, normal)
        cuu = momentary[0] + drift[0] * drift[0] * variance
        cuw = momentary[1] + drift[0] * drift[1] * variance
        cww = momentary[2] + drift[1] * drift[1] * variance
        det = cuu * cww - cuw * cuw
        iuu, iuw, iww = cww / det, -cuw / det, cuu / det
        mu, mw = mean[0] + drift[0] * moved, mean[1] + drift[1] * moved
        scale = share / (2.0 * math.pi * math.sqrt(det)) * share_of_sub
        for y in range(ny):
            for x in range(nx):
                if share == 0.0:
                    out[m, y, x] = 0.0
                    continue
                # of the middle of the pixel, and how coordinates change from there
                u0, w0, uf, us, wf, ws = in_frame_with_slopes(e, bbox[0] + x + 0.5, bbox[2] + y + 0.5)
                area = abs(uf * ws - us * wf)
                total = 0.0
                for b in range(n_sub):
                    t = (b + 0.5) / n_sub - 0.5
                    for a in range(n_sub):
                        q = (a + 0.5) / n_sub - 0.5
                        u = u0 + uf * q + us * t - mu
                        w = w0 + wf * q + ws * t - mw
                        square = iuu * u * u + 2.0 * iuw * u * w + iww * w * w
                        if square < 80.0:
                            total += math.exp(-0.5 * square)
                out[m, y, x] = total * scale * area


@numba.njit(nogil=True, cache=True)
def fit_spots(
    rays, mean, momentary, drift, normal, steps, z, bbox, offsets, data, mask, background, wanted, background_variance,
    n_sub, out,
):  # fmt: skip
    """Fit the intensity of each spot to the pixels of its foreground.

    Parameters
    ----------
    rays, mean, momentary, drift, normal, steps, z, bbox, n_sub
        As in `profile_of`, one row each.
    offsets : (n + 1,) int64; data, background : (p,) float32; mask : (p,) uint8
    wanted : (n,) float64, counts
        Intensity that weights and variances are made with; negative where unknown.
    background_variance : (n,) float64
        Of the mean background of a pixel.
    out : (n, 6) float64, output
        Intensity, variance, correlation, 1 where it went well, part of the profile in the foreground,
        variance of the background under it.
    """
    n = bbox.shape[0]
    for r in range(n):
        out[r] = 0.0
        begin = offsets[r]
        if offsets[r + 1] == begin:
            continue
        nx, ny, nz = bbox[r, 1] - bbox[r, 0], bbox[r, 3] - bbox[r, 2], bbox[r, 5] - bbox[r, 4]
        p = np.empty((nz, ny, nx))
        profile_of(rays[r], mean[r], momentary[r], drift[r], normal[r], steps[r], z[r], bbox[r], n_sub[r], p)
        flat = p.reshape(-1)
        held, above = 0.0, 0.0
        for i in range(flat.shape[0]):
            if (mask[begin + i] & (VALID | FOREGROUND | OVERLAPPED)) == (VALID | FOREGROUND):
                held += flat[i]
                above += data[begin + i] - background[begin + i]
        out[r, 4] = held
        if held < 0.1:
            continue
        signal = wanted[r] if wanted[r] >= 0.0 else max(above / held, 0.0)
        by_data, by_profile, by_background, under = 0.0, 0.0, 0.0, 0.0
        for i in range(flat.shape[0]):
            k = begin + i
            if (mask[k] & (VALID | FOREGROUND | OVERLAPPED)) == (VALID | FOREGROUND) and flat[i] > 0.0:
                noise = max(background[k], 1e-3)
                weight = flat[i] / (noise + signal * flat[i])
                under += weight * weight * noise
                by_data += weight * (data[k] - background[k])
                by_profile += weight * flat[i]
                by_background += weight
        if by_profile <= 0.0:
            continue
        intensity = by_data / by_profile
        out[r, 0] = intensity
        unsure = background_variance[r] * (by_background / by_profile) ** 2
        out[r, 1] = 1.0 / by_profile + unsure
        out[r, 3] = 1.0
        out[r, 5] = under / by_profile**2 + unsure
        m1, m2, s11, s22, s12, count = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for i in range(flat.shape[0]):
            k = begin + i
            if (mask[k] & (VALID | FOREGROUND | OVERLAPPED)) == (VALID | FOREGROUND):
                model = intensity * flat[i] + background[k]
                m1 += model
                m2 += data[k]
                s11 += model * model
                s22 += data[k] * data[k]
                s12 += model * data[k]
                count += 1.0
        top = s12 - m1 * m2 / count
        bottom = (s11 - m1 * m1 / count) * (s22 - m2 * m2 / count)
        out[r, 2] = min(max(top / math.sqrt(bottom), -1.0), 1.0) if bottom > 0.0 else 0.0
