"""Widths of spots: sigma_b across the detector, sigma_m along the rotation."""

from __future__ import annotations

import math

import numpy as np

from spindle.errors import UserError

from .sigma_kernels import image_counts, rocking_likelihood, spot_moments

GOLDEN = 0.5 * (math.sqrt(5.0) - 1.0)


def estimate_sigma_b(frames, bbox, offsets, data, mask, pixel_angle, definition: str = "deconvolved", subtract=None) -> float:
    """Angular width of spots across the detector.

    Parameters
    ----------
    frames : (n, 15) float64
        Local frames made with sigma_b = 1 radian.
    bbox, offsets, data, mask
        Shoeboxes of the spots.
    pixel_angle : (n,) float64, radian
        Root of the mean of the squares of the angles under which the two pixel edges are seen.
    definition : "deconvolved" or "radial"
        "radial" is the root mean square *distance* from the predicted beam, as DIALS takes it: it holds the pixel and is sqrt 2 times
        the standard deviation along one direction. "deconvolved" is that standard deviation without the pixel.
    subtract : (n,) float64, optional
        Background per pixel.

    Returns
    -------
    float, radian
    """
    subtract = np.zeros(len(bbox)) if subtract is None else subtract
    moments = spot_moments(frames, bbox, offsets, data, mask, subtract)
    total = moments[:, 0]
    if definition == "radial":
        good = total > 1
        if not good.any():
            raise UserError("integrate: no spot has counts, sigma_b cannot be estimated; give profile.gaussian_rs.parameters.sigma_b")
        return float(np.sqrt(np.mean((moments[good, 1] + moments[good, 2]) / (total[good] - 1))))
    good = total > 10
    if not good.any():
        raise UserError("integrate: no spot has counts, sigma_b cannot be estimated; give profile.gaussian_rs.parameters.sigma_b")
    per_axis = 0.5 * (moments[good, 1] + moments[good, 2]) / total[good]
    # weak spots show only their tops, a few are disturbed by neighbours: the median of the brighter half
    bright = total[good] >= np.median(total[good])
    measured = float(np.median(per_axis[bright]))
    pixel = float(np.mean(pixel_angle[good] ** 2)) / 12.0
    return math.sqrt(max(measured - pixel, 0.04 * measured))


def estimate_widths(frames, bbox, offsets, data, mask, pixel_edges, growth, subtract=None):
    """Widths along e1 and e2 and how they grow with the diffraction angle.

    Parameters
    ----------
    frames, bbox, offsets, data, mask, subtract
        As in `estimate_sigma_b`.
    pixel_edges : (n, 2) float64, radian
        Extent of a pixel along e1 and e2.
    growth : (n, 2) float64
        See `geometry.growth`.

    Returns
    -------
    (2, 2) float64, radian
        s and g of each axis: width = sqrt(s^2 + g^2 growth), g may be 0.
    """
    subtract = np.zeros(len(bbox)) if subtract is None else subtract
    moments = spot_moments(frames, bbox, offsets, data, mask, subtract)
    total = moments[:, 0]
    good = total > max(100.0, float(np.median(total)))
    if np.count_nonzero(good) < 20:
        good = total > min(float(np.median(total)), 30.0)
    out = np.zeros((2, 2))
    for k in range(2):
        variance = moments[good, 1 + k] / total[good] - pixel_edges[good, k] ** 2 / 12.0
        x = growth[good, k]
        # medians in bins of equal population, then a straight line: insensitive to spots with neighbours
        n_bins = int(np.clip(len(x) // 50, 1, 20))
        order = np.array_split(np.argsort(x, kind="stable"), n_bins)
        xs = np.array([np.median(x[o]) for o in order])
        ys = np.array([np.median(variance[o]) for o in order])
        floor = 0.04 * float(np.median(moments[good, 1 + k] / total[good]))
        slope, start = 0.0, float(np.median(ys))
        if n_bins >= 4 and np.ptp(xs) > 0:
            slope, start = np.polyfit(xs, ys, 1)
            if slope < 0 or start < floor:
                slope, start = 0.0, float(np.median(ys))
        out[k] = math.sqrt(max(start, floor)), math.sqrt(max(slope, 0.0))
    return out


def estimate_sigma_m(kappa, z, bbox, offsets, data, mask, algorithm: str = "extended") -> float:
    """Width of the rocking curve by maximum likelihood.

    Parameters
    ----------
    kappa : (n,) float64, radian
        Width of an image times zeta.
    z : (n,) float64
        Predicted array index.
    bbox, offsets, data, mask
        Shoeboxes of the spots.
    algorithm : "basic" or "extended"

    Returns
    -------
    float, radian

    Notes
    -----
    Golden-section search over ln sigma between 0.001 and 10 degrees. Kabsch (2010), Acta Cryst. D66, 133-144.
    """
    depth = np.where(np.diff(offsets) > 0, bbox[:, 5] - bbox[:, 4], 0).astype(np.int64)
    first = np.concatenate([[0], np.cumsum(depth)]).astype(np.int64)
    counts = np.zeros(int(first[-1]))
    image_counts(bbox, offsets, data, mask, first, counts)
    owner = np.repeat(np.arange(len(bbox)), depth)
    image = np.arange(int(first[-1])) - first[owner] + bbox[owner, 4]
    scale = np.abs(kappa[owner]) / math.sqrt(2.0)
    low = (image - z[owner]) * scale
    high = (image + 1 - z[owner]) * scale
    extended = algorithm == "extended"

    def value(log_sigma: float) -> float:
        return -rocking_likelihood(math.exp(log_sigma), extended, first, counts, low, high)

    a, b = math.log(math.radians(1e-3)), math.log(math.radians(10.0))
    c, d = b - GOLDEN * (b - a), a + GOLDEN * (b - a)
    fc, fd = value(c), value(d)
    while b - a > 1e-6:
        if fc < fd:
            b, d, fd = d, c, fc
            c = b - GOLDEN * (b - a)
            fc = value(c)
        else:
            a, c, fc = c, d, fd
            d = a + GOLDEN * (b - a)
            fd = value(d)
    return math.exp(0.5 * (a + b))
