"""What intensities the counts of a reflection come from, where its few equivalents alone tell little."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from spindle_lib_merging import believed_means
from spindle_lib_noise.signal import KNOWN_SHARE, variance_of_equivalents

from .data import Observations
from .pieces import PIECE, fill_rows, slices_of
from .sums import Map, blocks_of

__all__ = ["Believed", "believed_intensities"]


@dataclass(frozen=True, slots=True)
class Believed:
    """What equivalents and the mean intensity at their resolution let expect of n observations.

    Attributes
    ----------
    obs : Observations
    intensity : (n,) float64
        g <I>, never negative.
    usual : (n,) float64
        g times the mean at the resolution; 0 where there is none, empty where no variance is known to be made of expected counts.
    number : (m,) int64
        Observations of each reflection that are no outliers; empty as well.
    """

    obs: Observations
    intensity: np.ndarray
    usual: np.ndarray
    number: np.ndarray

    def counting(self, rows: Any) -> np.ndarray:
        """(k,) float64: variances that photons of some observations have."""
        return np.asarray(self.intensity[rows] * self.obs.factor[rows])

    def counted(self, rows: np.ndarray) -> bool:
        """Whether `variance` of some observations holds those."""
        return len(self.usual) > 0 and bool(np.count_nonzero((self.obs.made_of >= 0)[rows]) > KNOWN_SHARE * len(rows))

    def variance(self, rows: Any, drawn: bool) -> np.ndarray:
        """(k,) float64: variances of integration, the counts that they are made of replaced by what equivalents let expect.

        With ``drawn``, for weights and final variances, those of few photons are drawn towards the mean; see `variance_of_equivalents`.
        """
        obs = self.obs
        if not len(self.usual):
            return np.asarray(obs.variance[rows])
        if not isinstance(rows, slice) and len(rows) > PIECE:
            return np.concatenate([self.variance(rows[some], drawn) for some in slices_of(len(rows))])
        made, factor, found = obs.made_of[rows], obs.factor[rows], self.intensity[rows]
        known = (made >= 0) & (self.usual[rows] > 0)
        made, factor, found = made[known], factor[known], found[known]
        usual, number = (v[known] for v in (self.usual[rows], self.number[obs.groups.index[rows]]))
        variance = np.array(obs.variance[rows])
        counts = variance_of_equivalents(
            variance[known] / factor**2, made, usual / factor, found / factor, number, drawn
        )
        variance[known] = counts * factor**2
        return variance


def believed_intensities(
    obs: Observations, expected: np.ndarray, run: Map, more: tuple[np.ndarray, np.ndarray] | None = None
) -> Believed:
    """What equivalents and the mean intensity at their resolution let expect.

    It is the mean of French and Wilson's posterior distribution: where few equivalents tell little their own mean would follow the noise, and with
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
    found[known], usual = believed_means(mean, sigma, obs.d[first[known]], groups.epsilon[known], groups.centric[known])
    found[bottom <= 0] = np.nan
    index, out = groups.index, np.empty(len(obs))

    def expand(rows: slice) -> np.ndarray:
        of_group = found[index[rows]]
        return np.where(np.isnan(of_group), np.maximum(obs.intensity[rows], 0.0), obs.g[rows] * of_group)

    fill_rows(expand, slices_of(len(obs)), out, run)
    if not (obs.made_of >= 0).any():
        return Believed(obs, out, np.zeros(0), np.zeros(0, np.int64))
    mean_of, here = np.zeros(groups.n_groups), np.empty(len(obs))
    mean_of[known] = usual
    fill_rows(lambda rows: obs.g[rows] * mean_of[index[rows]], slices_of(len(obs)), here, run)
    return Believed(obs, out, here, np.bincount(index[~obs.outlier], minlength=groups.n_groups))
