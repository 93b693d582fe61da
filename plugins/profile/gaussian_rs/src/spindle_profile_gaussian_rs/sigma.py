"""Widths of spots: sigma_b across the detector, sigma_m along the rotation."""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import least_squares, minimize_scalar

from spindle.errors import UserError

from .sigma_kernels import compared_moments, image_counts, rocking_likelihood, rocking_moments, spot_moments

LEAST_ALONE = 0.3  # part of a spot that must lie where no other spot does
COARSEST_IMAGES = 2.0  # in widths of rocking curves; what is wider shows little of their shape
LARGEST_CHANGE = 2.0  # of sigma_m
ROUNDS = 5  # of the comparison with normal distributions, which are as wide as the spots in the end


def estimate_sigma_b(
    frames: np.ndarray,
    bbox: np.ndarray,
    offsets: np.ndarray,
    data: np.ndarray,
    mask: np.ndarray,
    pixel_angle: np.ndarray,
    definition: str = "deconvolved",
    subtract: np.ndarray | None = None,
) -> float:
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
        "radial" is the root mean square *distance* from the predicted beam, as DIALS takes it: it holds the pixel and
        is sqrt 2 times the standard deviation along one direction. "deconvolved" is that standard deviation without the
        pixel.
    subtract : (n,) float64, optional
        Background per pixel.

    Returns
    -------
    float, radian
    """
    subtract = np.zeros(len(bbox)) if subtract is None else subtract
    moments = _moments(frames, bbox, offsets, data, mask, subtract)
    total = moments[:, 0]
    if definition == "radial":
        good = total > 1
        if not good.any():
            raise UserError(
                "integrate: no spot has counts, sigma_b cannot be estimated; give profile.gaussian_rs.parameters.sigma_b"
            )
        return float(np.sqrt(np.mean((moments[good, 1] + moments[good, 2]) / (total[good] - 1))))
    good = total > 10
    if not good.any():
        raise UserError(
            "integrate: no spot has counts, sigma_b cannot be estimated; give profile.gaussian_rs.parameters.sigma_b"
        )
    per_axis = 0.5 * (moments[good, 1] + moments[good, 2]) / total[good]
    # weak spots show only their tops, a few are disturbed by neighbours: the median of the brighter half
    bright = total[good] >= np.median(total[good])
    measured = float(np.median(per_axis[bright]))
    pixel = float(np.mean(pixel_angle[good] ** 2)) / 12.0
    return math.sqrt(max(measured - pixel, 0.04 * measured))


def _moments(
    frames: np.ndarray,
    bbox: np.ndarray,
    offsets: np.ndarray,
    data: np.ndarray,
    mask: np.ndarray,
    subtract: np.ndarray,
) -> np.ndarray:
    return spot_moments(frames, bbox, offsets[:-1].copy(), offsets[1:].copy(), data, mask, subtract)


def estimate_widths(
    frames: np.ndarray,
    bbox: np.ndarray,
    offsets: np.ndarray,
    data: np.ndarray,
    mask: np.ndarray,
    pixel_edges: np.ndarray,
    growth: np.ndarray,
    subtract: np.ndarray | None = None,
) -> np.ndarray:
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
    moments = _moments(frames, bbox, offsets, data, mask, subtract)
    total = moments[:, 0]
    good = total > max(100.0, float(np.median(total)))
    if np.count_nonzero(good) < 20:
        good = total > min(float(np.median(total)), 30.0)
    out = np.zeros((2, 2))
    for k in range(2):
        measured = moments[good, 1 + k] / total[good]
        # medians in bins of equal population: insensitive to spots with neighbours
        variance, x = measured - pixel_edges[good, k] ** 2 / 12.0, growth[good, k]
        bins = _bins(x)
        ys = np.array([np.median(variance[o]) for o in bins])
        xs = np.array([np.median(x[o]) for o in bins])
        out[k] = line_of_widths(xs, ys, 0.04 * float(np.median(measured)))
    return out


def refine_widths(
    frames: np.ndarray,
    bbox: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    data: np.ndarray,
    mask: np.ndarray,
    subtract: np.ndarray,
    kz: np.ndarray,
    z: np.ndarray,
    widths: np.ndarray,
    growth: np.ndarray,
    spot_counts: float,
) -> np.ndarray | None:
    """Widths as `estimate_widths`, from whole spots free of background.

    Second moments are those of the pixels that no other spot shares, times what normal distributions have in the whole foreground over
    what they have in these pixels, so that neither what neighbours put into the foreground nor what is left out counts.

    Parameters
    ----------
    frames, bbox, starts, ends, data, mask, subtract, kz, z
        As in `compared_moments`: spots whose foreground reaches well beyond them; frames in units of ``widths``.
    widths : (n, 2) float64, radian
    growth : (n, 2) float64
    spot_counts : float
        Brighter spots weigh as much as spots of so many counts.

    Returns
    -------
    (2, 2) float64, radian, or None when the spots are too few
    """
    pixel = (np.stack([_edges(frames, bbox, k) for k in range(2)], axis=1) * widths) ** 2 / 12.0
    variance = widths**2
    out: np.ndarray | None = None
    for _ in range(ROUNDS):
        model = variance + pixel
        pixels = (bbox, starts, ends, data, mask, subtract)
        moments = compared_moments(frames, *pixels, kz, z, np.ascontiguousarray(model / widths**2))
        total = moments[:, 0]
        good = (total > 0) & (moments[:, 5] > LEAST_ALONE)
        if np.count_nonzero(good) < 100:
            return out
        weight = np.minimum(1.0, spot_counts / total[good])
        counts = weight * total[good]
        out = np.zeros((2, 2))
        for k in range(2):
            found, expected = (weight * moments[good, c + k] * widths[good, k] ** 2 for c in (1, 3))
            x, own, of_pixel = growth[good, k], model[good, k], pixel[good, k]
            bins = _bins(x)
            ys = np.array([
                max(float(found[o].sum() / expected[o].sum()), 0.1) * np.average(own[o], weights=counts[o])
                - np.average(of_pixel[o], weights=counts[o])
                for o in bins
            ])  # fmt: skip
            xs = np.array([np.average(x[o], weights=counts[o]) for o in bins])
            out[k] = line_of_widths(xs, ys, 0.04 * float(found.sum() / counts.sum()))
            variance[:, k] = out[k, 0] ** 2 + out[k, 1] ** 2 * growth[:, k]
    return out


def refine_sigma_m(
    frames: np.ndarray, bbox: np.ndarray, starts: np.ndarray, ends: np.ndarray, data: np.ndarray, mask: np.ndarray, subtract: np.ndarray,
    kz: np.ndarray, z: np.ndarray, spot_counts: float,
) -> float | None:  # fmt: skip
    """What sigma_m has to be multiplied by, from whole spots free of background.

    Strong pixels alone lack the ends of rocking curves, where few pixels are strong: sigma_m of spots of 2000 counts is 2 to 8 % too small
    by them, the more the more images the spots are on. Here second moments are those that normal distributions have on the same images, in
    the pixels that no other spot shares.

    Parameters
    ----------
    frames, bbox, starts, ends, data, mask, subtract, kz, z, spot_counts
        As in `refine_widths`.

    Returns
    -------
    float or None
        None where spots are too few, or images too wide to tell.
    """
    if not np.median(np.abs(kz)) <= COARSEST_IMAGES:
        return None
    factor = 1.0
    for _ in range(ROUNDS):
        moments = rocking_moments(frames, bbox, starts, ends, data, mask, subtract, kz / factor, z)
        good = (moments[:, 0] > 0) & (moments[:, 2] > 0)
        if np.count_nonzero(good) < 100:
            return None
        weight = np.minimum(1.0, spot_counts / moments[good, 0])
        ratio = float((weight @ moments[good, 1]) / (weight @ moments[good, 2]))
        factor *= math.sqrt(max(ratio, 0.1))
        if not 1.0 / LARGEST_CHANGE <= factor <= LARGEST_CHANGE:
            return None
    return factor


def _edges(frames: np.ndarray, bbox: np.ndarray, k: int) -> np.ndarray:
    """(n,) float64: extent of a pixel in the middle of each box along e1 or e2, in units of the frames."""
    x, y = 0.5 * (bbox[:, 0] + bbox[:, 1]), 0.5 * (bbox[:, 2] + bbox[:, 3])
    v = frames[:, 6:9] * x[:, None] + frames[:, 9:12] * y[:, None] + frames[:, 12:15]
    e = frames[:, 3 * k : 3 * k + 3]
    along = [np.einsum("ij,ij->i", e, frames[:, i : i + 3]) for i in (6, 9)]
    return np.hypot(*along) / np.linalg.norm(v, axis=1)


def _bins(x: np.ndarray) -> list[np.ndarray]:
    """Rows in bins of equal population, at most 20."""
    return np.array_split(np.argsort(x, kind="stable"), int(np.clip(len(x) // 50, 1, 20)))


def line_of_widths(x: np.ndarray, y: np.ndarray, floor: float) -> tuple[float, float]:
    """s and g of y = s^2 + g^2 x, s^2 at least ``floor``; g = 0 where the points say nothing about it or fall.

    Ratios are fitted, and large ones count little: x spans orders of magnitude, and where it is largest, near the rotation axis, spots
    are cut off.
    """
    start, slope = max(float(np.median(y)), floor), 0.0
    if len(x) >= 4 and np.ptp(x) > 0:
        points = np.log(np.maximum(y, floor))

        def misfit(v: np.ndarray) -> np.ndarray:
            return np.asarray(np.log(floor + v[0] + v[1] * x) - points)

        begin = [max(float(np.min(y)) - floor, 0.1 * floor), max(float(np.median(y)) / float(np.mean(x)), 0.0)]
        found = least_squares(
            misfit, begin, bounds=(0.0, np.inf), loss="soft_l1", f_scale=0.1, x_scale=[floor, floor / float(np.mean(x))]
        )
        start, slope = floor + float(found.x[0]), float(found.x[1])
    return math.sqrt(start), math.sqrt(slope)


def estimate_sigma_m(
    kappa: np.ndarray,
    z: np.ndarray,
    bbox: np.ndarray,
    offsets: np.ndarray,
    data: np.ndarray,
    mask: np.ndarray,
    algorithm: str = "extended",
) -> float:
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
    Bounded search (Brent) over ln sigma between 0.001 and 10 degrees. Kabsch (2010), Acta Cryst. D66, 133-144.
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

    bounds = (math.log(math.radians(1e-3)), math.log(math.radians(10.0)))
    best = minimize_scalar(value, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    return math.exp(float(best.x))
