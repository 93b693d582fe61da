"""Kernels that measure the width of observed spots."""

from __future__ import annotations

import math

import numba
import numpy as np

from spindle_lib_spot_frames import in_frame

VALID, FOREGROUND, OVERLAPPED = 1, 4, 32


@numba.njit(nogil=True, cache=True)
def spot_moments(frames, bbox, starts, ends, data, mask, subtract):
    """Counts and second moments of spots about their predicted beams.

    Parameters
    ----------
    frames : (n, 15) float64
        Local frames; moments are in units of their widths.
    bbox : (n, 6) int32; starts, ends : (n,) int64
        Boxes and their pixels in the flat arrays; a box may have none.
    data : (p,) float32; mask : (p,) uint8
    subtract : (n,) float64
        Background per pixel to take off.

    Returns
    -------
    (n, 5) float64
        Sum of counts; sums of counts times e1^2, e2^2, e1, e2.
    """
    n = bbox.shape[0]
    out = np.zeros((n, 5))
    for r in range(n):
        e = frames[r]
        k = starts[r]
        if ends[r] == k:
            continue
        for _z in range(bbox[r, 4], bbox[r, 5]):
            for y in range(bbox[r, 2], bbox[r, 3]):
                for x in range(bbox[r, 0], bbox[r, 1]):
                    if (mask[k] & (VALID | FOREGROUND)) == (VALID | FOREGROUND):
                        c = data[k] - subtract[r]
                        u, w = in_frame(e, x + 0.5, y + 0.5)
                        out[r, 0] += c
                        out[r, 1] += c * u * u
                        out[r, 2] += c * w * w
                        out[r, 3] += c * u
                        out[r, 4] += c * w
                    k += 1
    return out


@numba.njit(nogil=True, cache=True)
def compared_moments(frames, bbox, starts, ends, data, mask, subtract, kz, z, variances):
    """Second moments of spots where they are alone, and what they would be of normal distributions.

    Parameters
    ----------
    frames, bbox, starts, ends, data, mask, subtract
        As in `spot_moments`; pixels in the foreground of other spots are left out.
    kz, z : (n,) float64
        sigma_m per image and predicted array index.
    variances : (n, 2) float64
        Of the normal distributions along e1 and e2, the pixel included, in units of the frames.

    Returns
    -------
    (n, 6) float64
        Sum of counts; sums of counts times e1^2, e2^2; the same sums of a normal distribution with as many counts in these pixels, of which
        the whole foreground has ``variances``; its part that is in these pixels, of what is in the foreground.
    """
    n = bbox.shape[0]
    out = np.zeros((n, 6))
    for r in range(n):
        e = frames[r]
        k = starts[r]
        if ends[r] == k:
            continue
        iu, iw = -0.5 / variances[r, 0], -0.5 / variances[r, 1]
        all_g, all_u, all_w, g0, gu, gw = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for zi in range(bbox[r, 4], bbox[r, 5]):
            step = kz[r] * 0.7071067811865476
            share = abs(math.erf((zi + 1 - z[r]) * step) - math.erf((zi - z[r]) * step))
            for y in range(bbox[r, 2], bbox[r, 3]):
                for x in range(bbox[r, 0], bbox[r, 1]):
                    if (mask[k] & (VALID | FOREGROUND)) == (VALID | FOREGROUND):
                        u, w = in_frame(e, x + 0.5, y + 0.5)
                        g = share * math.exp(iu * u * u + iw * w * w)
                        all_g += g
                        all_u += g * u * u
                        all_w += g * w * w
                        if not mask[k] & OVERLAPPED:
                            c = data[k] - subtract[r]
                            out[r, 0] += c
                            out[r, 1] += c * u * u
                            out[r, 2] += c * w * w
                            g0 += g
                            gu += g * u * u
                            gw += g * w * w
                    k += 1
        if g0 > 0.0 and all_u > 0.0 and all_w > 0.0:
            counts = out[r, 0] * all_g / g0
            out[r, 3], out[r, 4] = counts * variances[r, 0] * gu / all_u, counts * variances[r, 1] * gw / all_w
            out[r, 5] = g0 / all_g
    return out


@numba.njit(nogil=True, cache=True)
def rocking_moments(frames, bbox, starts, ends, data, mask, subtract, kz, z):
    """Second moments of spots along the rotation where they are alone, and those of normal distributions in the same pixels.

    Parameters
    ----------
    frames, bbox, starts, ends, data, mask, subtract, kz, z
        As in `compared_moments`.

    Returns
    -------
    (n, 3) float64
        Sum of counts; sum of counts times e3^2 in units of sigma_m, of the middles of images; the same of normal distributions of width 1 in
        all three directions with as many counts.
    """
    n = bbox.shape[0]
    out = np.zeros((n, 3))
    for r in range(n):
        e = frames[r]
        k = starts[r]
        if ends[r] == k:
            continue
        whole, square = 0.0, 0.0
        step = kz[r] * 0.7071067811865476
        for zi in range(bbox[r, 4], bbox[r, 5]):
            share = abs(math.erf((zi + 1 - z[r]) * step) - math.erf((zi - z[r]) * step))
            t2 = ((zi + 0.5 - z[r]) * kz[r]) ** 2
            for y in range(bbox[r, 2], bbox[r, 3]):
                for x in range(bbox[r, 0], bbox[r, 1]):
                    if (mask[k] & (VALID | FOREGROUND | OVERLAPPED)) == (VALID | FOREGROUND):
                        u, w = in_frame(e, x + 0.5, y + 0.5)
                        g = share * math.exp(-0.5 * (u * u + w * w))
                        c = data[k] - subtract[r]
                        out[r, 0] += c
                        out[r, 1] += c * t2
                        whole += g
                        square += g * t2
                    k += 1
        if whole > 0.0:
            out[r, 2] = out[r, 0] * square / whole
    return out


@numba.njit(nogil=True, cache=True)
def image_counts(bbox, offsets, data, mask, first, counts):
    """Counts of the valid foreground pixels of each spot on each of its images.

    Parameters
    ----------
    bbox : (n, 6) int32; offsets : (n + 1,) int64; data : (p,) float32; mask : (p,) uint8
    first : (n + 1,) int64
        First image of each spot in ``counts``.
    counts : (first[n],) float64, output
        Images without such pixels get 0.
    """
    for r in range(bbox.shape[0]):
        k = offsets[r]
        plane = (bbox[r, 1] - bbox[r, 0]) * (bbox[r, 3] - bbox[r, 2])
        for j in range(first[r + 1] - first[r]):
            total = 0.0
            for _i in range(plane):
                if (mask[k] & (VALID | FOREGROUND)) == (VALID | FOREGROUND):
                    total += data[k]
                k += 1
            counts[first[r] + j] = total


@numba.njit(nogil=True, cache=True)
def rocking_likelihood(sigma, extended, first, counts, low, high):
    """Log likelihood of sigma_m.

    Parameters
    ----------
    sigma : float, radian
    extended : bool
        False: every image on which a spot was seen counts once (Kabsch 2010, equation for the reflecting range); True:
        images count with their counts, given the total of the spot.
    first : (n + 1,) int64
        First image of each spot.
    counts, low, high : (first[n],) float64
        Counts, and the limits of each image as angles from the spot times \\|zeta\\| / sqrt 2, radian.
    """
    total = 0.0
    inverse = 1.0 / sigma
    for r in range(first.shape[0] - 1):
        weighted, recorded, n_counts = 0.0, 0.0, 0.0
        for m in range(first[r], first[r + 1]):
            if counts[m] <= 0.0:
                continue
            share = 0.5 * (math.erf(high[m] * inverse) - math.erf(low[m] * inverse))
            if share < 1e-10:
                share = 1e-10
            if extended:
                weighted += counts[m] * math.log(share)
                n_counts += counts[m]
                recorded += share
            else:
                total += math.log(share)
        if extended and n_counts > 0.0:
            total += weighted - (n_counts - 1.0) * math.log(recorded)
    return total
