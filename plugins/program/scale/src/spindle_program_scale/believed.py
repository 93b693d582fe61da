"""What intensities the counts of a reflection come from, where its few equivalents alone tell little."""

from __future__ import annotations

import numpy as np

from spindle_lib_merging import expected_intensity, french_wilson

from .data import Observations
from .pieces import fill_rows, slices_of
from .sums import Map, blocks_of

__all__ = ["believed_intensities"]

#: Means above so many sigmas are believed as they are.
CERTAIN = 6.0


def believed_intensities(
    obs: Observations, expected: np.ndarray, run: Map, more: tuple[np.ndarray, np.ndarray] | None = None
) -> np.ndarray:
    """(n,) float64: g <I>, never negative, that equivalents and the mean intensity at their resolution let expect.

    The mean of French and Wilson's posterior distribution: where few equivalents tell little their own mean would follow the noise, and with
    it the variances of counts made of it.

    Parameters
    ----------
    obs : Observations
    expected : (n,) float64
        g <I> of the equivalents that are no outliers.
    run
        Applies a function to items.
    more : ((m,), (m,)) float64, optional
        What else adds to sum g I / variance, which `expected` has, and to sum g^2 / variance of each reflection.
    """
    groups = obs.groups
    bottom = np.empty(groups.n_groups)

    def weigh(block: tuple[int, int]) -> None:
        first, last = block
        rows = groups.order[groups.offsets[first] : groups.offsets[last]]
        weight = ~obs.outlier[rows] * obs.g[rows] ** 2 / np.maximum(obs.variance[rows], 1e-30)
        own = np.repeat(np.arange(last - first), np.diff(groups.offsets[first : last + 1]))
        bottom[first:last] = np.bincount(own, weight, last - first)

    for _ in run(weigh, blocks_of(groups.offsets)):
        pass
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
    found[bottom <= 0] = np.nan
    index, out = groups.index, np.empty(len(obs))

    def expand(rows: slice) -> np.ndarray:
        of_group = found[index[rows]]
        return np.where(np.isnan(of_group), np.maximum(obs.intensity[rows], 0.0), obs.g[rows] * of_group)

    fill_rows(expand, slices_of(len(obs)), out, run)
    return out
