"""What intensities the counts of a reflection come from, where its few equivalents alone tell little."""

from __future__ import annotations

import numpy as np

from spindle_lib_merging import expected_intensity, french_wilson

from .data import Observations

__all__ = ["believed_intensities"]

#: Means above so many sigmas are believed as they are.
CERTAIN = 6.0


def believed_intensities(
    obs: Observations, expected: np.ndarray, more: tuple[np.ndarray, np.ndarray] | None = None
) -> np.ndarray:
    """(n,) float64: g <I>, never negative, that equivalents and the mean intensity at their resolution let expect.

    The mean of French and Wilson's posterior distribution: where few equivalents tell little their own mean would follow the noise, and with
    it the variances of counts made of it.

    Parameters
    ----------
    obs : Observations
    expected : (n,) float64
        g <I> of the equivalents that are no outliers.
    more : ((m,), (m,)) float64, optional
        What else adds to sum g I / variance, which `expected` has, and to sum g^2 / variance of each reflection.
    """
    groups = obs.groups
    weight = ~obs.outlier * obs.g**2 / np.maximum(obs.variance, 1e-30)
    bottom = np.bincount(groups.index, weight, groups.n_groups)
    if more is not None:
        bottom += more[1]
    known = np.flatnonzero(bottom > 0)
    first = groups.order[groups.offsets[:-1]]
    found = np.maximum(expected[first] / obs.g[first], 0.0)
    mean, sigma = (expected[first] / obs.g[first])[known], bottom[known] ** -0.5
    weak = mean < CERTAIN * sigma
    if weak.any():
        centric, epsilon = groups.centric[known], groups.epsilon[known]
        usual = expected_intensity(mean, obs.d[first[known]], epsilon, centric)
        with np.errstate(divide="ignore", invalid="ignore"):
            posterior = french_wilson(mean[weak], sigma[weak], centric[weak], usual[weak]).intensity
        rows = known[weak]
        found[rows] = np.where(np.isfinite(posterior), posterior, found[rows])
    return np.where((bottom > 0)[groups.index], obs.g * found[groups.index], np.maximum(obs.intensity, 0.0))
