"""Reference profiles finer than a pixel, and fits to the pixels themselves.

A reference profile is a density on a grid of nodes in Kabsch's frame, ``P[j, i, k]`` (e2, e1, e3), of sum 1. Across the detector it is
interpolated bilinearly between nodes and integrated over each pixel; along the rotation every slice is spread as the normal
distribution of the model is within that slice. So the expected share of a spot's photons in a pixel of an image is linear in P, whatever
the position of the spot relative to the pixel raster:

``p[z, pixel] = sum_jik W[pixel, j, i] F[z, k] P[j, i, k]``

which is what makes P learnable from spots at all positions (expectation maximisation for Poisson counts: Shepp & Vardi 1982;
Richardson 1972, Lucy 1974) and the fit unbiased for any coverage by masked pixels.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from spindle_lib_noise.believed import counts_of_variance

from .spread_kernels import image_planes, pixel_lattice, pixel_samples, sampled_share, slice_shares, sub_points

VALID, FOREGROUND, OVERLAPPED = 1, 4, 32
# A pixel is an outlier when it exceeds the fit by 6 standard deviations (one in 1e9), a tenth of the spot (what a profile may be
# wrong by in one pixel) and 3 counts (where counts are too few for the normal distribution) together.
OUTLIER_SIGMAS, OUTLIER_SHARE, OUTLIER_COUNTS = 6.0, 0.1, 3.0
WHOLE = 0.98  # share of the photons along the rotation from which on a spot is summed as a whole


@numba.njit(nogil=True, cache=True)
def wanted_pixels(mask, nx, ny, wanted):
    """Pixels (ny * nx) that are good foreground on any image of a box, and the rectangle x0, x1, y0, y1 that they lie in."""
    area = nx * ny
    good = np.uint8(VALID | FOREGROUND)
    wanted[:area] = 0
    for first in range(0, mask.shape[0], max(area, 1)):
        for k in range(area):
            wanted[k] |= (mask[first + k] & good) == good
    y0, y1 = ny, 0
    for y in range(ny):
        found = np.uint8(0)
        for x in range(nx):
            found |= wanted[y * nx + x]
        if found:
            y0, y1 = min(y0, y), y + 1
    x0, x1 = nx, 0
    for y in range(y0, y1):
        row = wanted[y * nx : (y + 1) * nx]
        for x in range(x0):
            if row[x]:
                x0 = x
                break
        for x in range(nx - 1, x1 - 1, -1):
            if row[x]:
                x1 = x + 1
                break
    return min(x0, x1), x1, min(y0, y1), y1


@numba.njit(nogil=True, cache=True)
def fit_pixels(
    frames,
    kz,
    z,
    bbox,
    offsets,
    data,
    mask,
    background,
    background_variance,
    reference,
    references,
    expected,
    step,
    n_sub,
    min_coverage,
    min_alone,
    as_dials,
    value,
    variance,
    correlation,
    coverage,
    summed,
    summed_variance,
    profile,
):
    """Fit each spot's intensity to its foreground pixels with its reference profile.

    Parameters
    ----------
    frames ... background
        As in `learning_kernels.accumulate_profile`.
    background_variance : (n,) float64, counts^2 per pixel^2
        Variance of the mean background under the spot.
    reference : (n,) int64
        Which reference profile each spot uses; negative: none, the fit fails.
    references : (m, s, s, s) float64
        Axes e3, e2, e1.
    expected : (n,) float64, counts
        Mean intensity expected at this place of reciprocal space, or a negative number: not known.
    step, n_sub
        As in `learning_kernels.accumulate_profile`.
    min_coverage : float
        Least share of the profile that usable pixels must hold.
    min_alone : float
        Pixels in the foreground of other spots are left out when those outside hold at least this share of the profile.
    as_dials : bool
        DIALS's form instead of what the notes say: v = b + |I| p from the iterated estimate, variance |I| + |sum b|.
    value, variance, correlation, coverage : (n,) float64, output
        Intensity on the whole profile, its variance (-1: failed), Pearson correlation of data and model, share of the profile used.
    summed, summed_variance : (n,) float64, output
        Sum of the same pixels and its variance; 0 and -1 where they are not the whole foreground, or images lack a part of the spot.
    profile : (p,) or (0,) float32, output
        Share of its spot in each good pixel of the foregrounds; of no pixel: not wanted.

    Notes
    -----
    Weighted least squares, I = sum(p (d - b) / v) / sum(p^2 / v), with v = b + J p. J is never the estimate itself, which would tie the
    weights to the noise: it is the mean of the posterior distribution of the intensity given a first fit (with J = expected) and the
    exponential (acentric Wilson) prior of mean ``expected``. The variance is that of the estimate for Poisson counts of mean b + J p,
    sum(w^2 (b + K p)), plus what the background's own uncertainty adds, (sum w)^2 var(b); K is J, drawn towards ``expected`` where counts
    are few, so that the variance does not follow their noise.
    Pixels far above the fit (hot pixels, zingers) are left out and the fit made again, at most twice.
    French & Wilson (1978), Acta Cryst. A34, 517-525; Diamond (1969), Acta Cryst. A25, 43-55.
    """
    n = bbox.shape[0]
    size = references.shape[1]
    centre = 0.5 * (size - 1)
    max_xy, max_z, max_row = 1, 1, 1
    for r in range(n):
        nx, ny = bbox[r, 1] - bbox[r, 0], bbox[r, 3] - bbox[r, 2]
        max_xy = max(max_xy, nx * ny)
        max_row = max(max_row, max(nx, ny) + 1)
        max_z = max(max_z, bbox[r, 5] - bbox[r, 4])
    cu = np.empty((max_row, max_row))
    cw = np.empty((max_row, max_row))
    shares, planes = np.zeros((max_z, size)), np.empty((max_z, size + 3, size + 3))
    flat = planes.reshape(max_z, (size + 3) * (size + 3))
    points = sub_points(n_sub)
    sampled, weights = np.empty(n_sub * n_sub, np.int64), np.empty((n_sub * n_sub, 4))
    wanted = np.empty(max_xy, np.uint8)
    p_list = np.empty(max_xy * max_z)
    d_list = np.empty(max_xy * max_z)
    b_list = np.empty(max_xy * max_z)
    shared = np.empty(max_xy * max_z, np.bool_)
    along = np.zeros((references.shape[0], size))
    for m in range(references.shape[0]):
        for k in range(size):
            along[m, k] = references[m, k].sum()
    for r in range(n):
        value[r] = 0.0
        variance[r] = -1.0
        correlation[r] = 0.0
        coverage[r] = 0.0
        summed[r] = 0.0
        summed_variance[r] = -1.0
        if reference[r] < 0:
            continue
        nx, ny = bbox[r, 1] - bbox[r, 0], bbox[r, 3] - bbox[r, 2]
        nz = bbox[r, 5] - bbox[r, 4]
        start = offsets[r]
        plane = nx * ny
        left, right, top, bottom = wanted_pixels(mask[start : offsets[r + 1]], nx, ny, wanted)
        pixel_lattice(
            frames[r], bbox[r, 0] + left, bbox[r, 2] + top, right - left, bottom - top, 1.0 / step, centre, cu, cw
        )
        slice_shares(kz[r], z[r], bbox[r, 4], nz, size, step, shares)
        image_planes(references[reference[r]], shares, nz, planes)
        count = 0
        covered = 0.0
        alone = 0.0
        b_sum = 0.0
        for y in range(top, bottom):
            for x in range(left, right):
                pixel = y * nx + x
                if not wanted[pixel]:
                    continue
                pixel_samples(cu, cw, y - top, x - left, points, size, sampled, weights)
                for j in range(nz):
                    at = start + j * plane + pixel
                    bits = mask[at]
                    if bits & VALID and bits & FOREGROUND:
                        p = sampled_share(flat[j], size + 3, sampled, weights)
                        if profile.shape[0] > 0:
                            profile[at] = p
                        p_list[count] = p
                        d_list[count] = data[at]
                        b_list[count] = background[at]
                        shared[count] = (bits & OVERLAPPED) != 0
                        if not shared[count]:
                            alone += p
                        covered += p
                        count += 1
        if alone < covered and alone >= min_alone:
            # enough of the spot lies where no other spot does
            kept = 0
            for m in range(count):
                if not shared[m]:
                    p_list[kept], d_list[kept], b_list[kept] = p_list[m], d_list[m], b_list[m]
                    kept += 1
            count = kept
            covered = alone
        for m in range(count):
            b_sum += b_list[m]
        coverage[r] = covered
        if count == 0 or covered < min_coverage:
            continue
        # an estimated background of 0 still leaves room for a fraction of a count over the whole spot
        floor = max(b_sum / count, 0.5 / count) * 0.05
        prior = expected[r]
        if prior < 0.0:
            total = 0.0
            for m in range(count):
                total += d_list[m] - b_list[m]
            prior = max(total / covered, 1.0)
        estimate, s2, counts = 0.0, 0.0, 0.0
        for _attempt in range(3):
            scale = max(prior, 1e-3)
            for cycle in range(100 if as_dials else 2):
                last = estimate
                above, below, of_background, of_spot, sw = 0.0, 0.0, 0.0, 0.0, 0.0
                for m in range(count):
                    b = max(b_list[m], floor)
                    f = p_list[m] / (b + scale * p_list[m])
                    above += f * (d_list[m] - b_list[m])
                    below += f * p_list[m]
                    of_background += f * f * b
                    of_spot += f * f * p_list[m]
                    sw += f
                estimate = above / below
                if as_dials:
                    s2 = abs(estimate) + abs(b_sum)
                    counts = scale = abs(estimate)
                    if cycle > 0 and abs(estimate - last) < 1e-3:
                        break
                    continue
                of_background = (of_background + sw * sw * background_variance[r]) / (below * below)
                of_spot /= below * below
                counts = scale
                if cycle == 1 and expected[r] >= 0.0:
                    mean = max(prior, 1e-3)
                    counts = counts_of_variance(mean, scale, of_background + mean * of_spot)
                s2 = of_background + counts * of_spot
                if cycle == 0:
                    # mean of the normal likelihood times the exponential prior: a normal distribution cut off at 0
                    sigma = math.sqrt(s2)
                    mean = estimate - s2 / max(prior, 1e-3)
                    t = mean / sigma
                    if t < -6.0:
                        scale = sigma / (-t + 1.0 / -t)
                    else:
                        scale = mean + sigma * math.exp(-0.5 * t * t) / (
                            1.2533141373155003 * math.erfc(-t * 0.7071067811865476)
                        )
                    scale = max(scale, 1e-3)
            if as_dials:
                break
            # hot pixels and zingers: far above what counting and an imperfect profile explain
            kept, kept_share = 0, 0.0
            for m in range(count):
                v = max(b_list[m], floor) + scale * p_list[m]
                limit = (
                    OUTLIER_SIGMAS * math.sqrt(v) + (OUTLIER_SHARE + p_list[m]) * max(estimate, 0.0) + OUTLIER_COUNTS
                )
                if d_list[m] - b_list[m] - estimate * p_list[m] <= limit:
                    kept += 1
                    kept_share += p_list[m]
            if kept == count or kept_share < 0.5 * covered:
                break
            kept = 0
            for m in range(count):
                v = max(b_list[m], floor) + scale * p_list[m]
                limit = (
                    OUTLIER_SIGMAS * math.sqrt(v) + (OUTLIER_SHARE + p_list[m]) * max(estimate, 0.0) + OUTLIER_COUNTS
                )
                if d_list[m] - b_list[m] - estimate * p_list[m] <= limit:
                    p_list[kept], d_list[kept], b_list[kept] = p_list[m], d_list[m], b_list[m]
                    kept += 1
            count = kept
            coverage[r] = kept_share
        value[r] = estimate
        variance[r] = s2
        total, spread = 0.0, 0.0
        for m in range(count):
            total += d_list[m] - b_list[m]
            spread += max(b_list[m], floor) + counts * p_list[m]
        n_foreground = 0
        for m in range(start, offsets[r + 1]):
            if mask[m] & FOREGROUND:
                n_foreground += 1
        recorded = 0.0
        for k in range(size):
            for j in range(nz):
                recorded += along[reference[r], k] * shares[j, k]
        if count == n_foreground and recorded >= WHOLE:
            summed[r] = total
            summed_variance[r] = spread + count * count * background_variance[r]
        # Pearson correlation of observed and modelled pixels
        md, mm = 0.0, 0.0
        for m in range(count):
            md += d_list[m]
            mm += estimate * p_list[m] + b_list[m]
        md /= count
        mm /= count
        sdd, smm, sdm = 0.0, 0.0, 0.0
        for m in range(count):
            a = d_list[m] - md
            b = estimate * p_list[m] + b_list[m] - mm
            sdd += a * a
            smm += b * b
            sdm += a * b
        if sdd > 0.0 and smm > 0.0:
            correlation[r] = sdm / math.sqrt(sdd * smm)
