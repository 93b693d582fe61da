"""Merged intensities: one weighted mean per unique reflection."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spindle.errors import ShapeError
from spindle.symmetry import SpaceGroupLike

from .grouping import Groups, group_equivalents, pack_indices
from .kernels import merge_halves, merge_sorted


@dataclass(frozen=True, slots=True)
class Merged:
    """Weighted means over equivalents, one entry per unique reflection.

    Attributes
    ----------
    hkl : (m, 3) int32
        Index in the asymmetric unit (negated for I(-) of anomalous groups).
    intensity, sigma : (m,) float64
    multiplicity : (m,) int64
    centric : (m,) bool
    epsilon : (m,) float64
    deviation : (m,) float64
        Sum of |I - mean| over the equivalents, for R factors.
    total : (m,) float64
        Sum of I over the equivalents.
    spread : (m,) float64
        Unweighted sample variance of the equivalents.
    plain_mean : (m,) float64
        Unweighted mean.
    """

    hkl: np.ndarray
    intensity: np.ndarray
    sigma: np.ndarray
    multiplicity: np.ndarray
    centric: np.ndarray
    epsilon: np.ndarray
    deviation: np.ndarray
    total: np.ndarray
    spread: np.ndarray
    plain_mean: np.ndarray

    def __len__(self) -> int:
        return len(self.intensity)


def checked(intensity: npt.ArrayLike, variance: npt.ArrayLike, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Intensities and variances as float64 (n,) arrays of positive variance, or an error."""
    values = np.ascontiguousarray(intensity, dtype=np.float64)
    variances = np.ascontiguousarray(variance, dtype=np.float64)
    if values.shape != (n,) or variances.shape != (n,):
        raise ShapeError(
            f"merging: {n} indices, {values.shape} intensities and {variances.shape} variances do not match"
        )
    if n and not variances.min() > 0:
        raise ValueError("merging: every variance must be positive; filter the observations first")
    return values, variances


def merge_groups(groups: Groups, intensity: npt.ArrayLike, variance: npt.ArrayLike, internal: bool = False) -> Merged:
    """Merge observations that are already grouped, or those among them that the groups hold; see `merge_equivalents`."""
    values, variances = checked(intensity, variance, len(groups.positive))
    m = groups.n_groups
    out = [np.empty(m) for _ in range(6)]
    for first, last in groups.blocks():
        offsets, rows = groups.of_block(first, last)
        merge_sorted(offsets, values[rows], variances[rows], internal, *(column[first:last] for column in out))
    mean, sigma, deviation, total, spread, plain_mean = out
    return Merged(
        groups.hkl,
        mean,
        sigma,
        groups.multiplicity,
        groups.centric,
        groups.epsilon,
        deviation,
        total,
        spread,
        plain_mean,
    )


def merge_equivalents(
    hkl: npt.ArrayLike,
    intensity: npt.ArrayLike,
    variance: npt.ArrayLike,
    space_group: SpaceGroupLike,
    anomalous: bool = False,
    use_internal_variance: bool = False,
) -> Merged:
    """Weighted mean of the equivalents of every reflection.

    Parameters
    ----------
    hkl : (n, 3) int
        Measured Miller indices.
    intensity, variance : (n,) float
        Scaled intensities and their variances, which are positive.
    space_group
        Space group.
    anomalous
        Keep Friedel mates apart.
    use_internal_variance
        sigma is the larger of 1 / sqrt(sum w) and the scatter sqrt(sum w (I - <I>)^2 / ((n - 1) sum w)).
    """
    return merge_groups(group_equivalents(hkl, space_group, anomalous), intensity, variance, use_internal_variance)


def merge_random_halves(
    groups: Groups, intensity: npt.ArrayLike, variance: npt.ArrayLike, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weighted means of two random halves of each reflection's observations.

    Returns
    -------
    mean, sigma : (2, m) float64
        NaN where a half has no observation.
    count : (2, m) int64
        Halves differ by one observation at most.
    """
    values, variances = checked(intensity, variance, len(groups.order))
    index = groups.index
    drawn = np.random.default_rng(seed).random(len(values))
    order = np.lexsort([drawn, index])
    rank = np.arange(len(values)) - np.repeat(groups.offsets[:-1], groups.multiplicity)
    first = np.random.default_rng(seed + 1).integers(0, 2, groups.n_groups)
    half = np.empty(len(values), dtype=np.int64)
    half[order] = (rank + first[index[order]]) % 2
    key = half * groups.n_groups + index
    size = 2 * groups.n_groups
    weight = np.bincount(key, 1.0 / variances, size)
    total = np.bincount(key, values / variances, size)
    count = np.bincount(key, minlength=size)
    measured = count > 0
    safe = np.where(measured, weight, 1.0)
    mean = np.where(measured, total / safe, np.nan)
    sigma = np.where(measured, safe**-0.5, np.nan)
    return mean.reshape(2, -1), sigma.reshape(2, -1), count.reshape(2, -1)


def half_means(
    groups: Groups, intensity: npt.ArrayLike, variance: npt.ArrayLike, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Weighted means (m,) of two random halves of each reflection's observations; NaN for single ones."""
    values, variances = checked(intensity, variance, len(groups.positive))
    rng = np.random.default_rng(seed)
    halves = np.empty((2, groups.n_groups))
    for first, last in groups.blocks():
        offsets, rows = groups.of_block(first, last)
        merge_halves(offsets, values[rows], variances[rows], rng.random(len(rows)), *halves[:, first:last])
    return halves[0], halves[1]


@dataclass(frozen=True, slots=True)
class AnomalousPairs:
    """Merged data with both Friedel mates side by side, one entry per index of the asymmetric unit.

    Attributes
    ----------
    mean : Merged
        Friedel mates merged.
    plus, minus : (m,) float64
        Intensities of the mates, NaN where not measured. A centric reflection has its mean in both.
    sigma_plus, sigma_minus : (m,) float64
    n_plus, n_minus : (m,) int64
        Observations of each mate, 0 where not measured. The observations of a centric reflection count in ``n_plus``.
    """

    mean: Merged
    plus: np.ndarray
    minus: np.ndarray
    sigma_plus: np.ndarray
    sigma_minus: np.ndarray
    n_plus: np.ndarray
    n_minus: np.ndarray

    @property
    def paired(self) -> np.ndarray:
        """(m,) bool: acentric reflections of which both mates were measured."""
        return np.isfinite(self.plus) & np.isfinite(self.minus) & ~self.mean.centric


def merge_pairs(
    hkl: npt.ArrayLike,
    intensity: npt.ArrayLike,
    variance: npt.ArrayLike,
    space_group: SpaceGroupLike,
    use_internal_variance: bool = False,
) -> AnomalousPairs:
    """Merge with and without Friedel's law; arguments as in `merge_equivalents`."""
    mean = merge_equivalents(hkl, intensity, variance, space_group, False, use_internal_variance)
    split = merge_equivalents(hkl, intensity, variance, space_group, True, use_internal_variance)
    return pair_mates(mean, split)


def pair_mates(mean: Merged, split: Merged) -> AnomalousPairs:
    """Put the I(+) and I(-) of an anomalous merge beside the mean of a normal merge of the same observations."""
    keys = pack_indices(mean.hkl)
    to_plus = np.searchsorted(keys, pack_indices(split.hkl))
    is_plus = (to_plus < len(keys)) & (keys[np.minimum(to_plus, len(keys) - 1)] == pack_indices(split.hkl))
    to_minus = np.searchsorted(keys, pack_indices(-split.hkl))
    m = len(mean)
    columns = []
    for rows, target in ((is_plus, to_plus), (~is_plus, to_minus)):
        value, sigma, n = np.full(m, np.nan), np.full(m, np.nan), np.zeros(m, dtype=np.int64)
        value[target[rows]] = split.intensity[rows]
        sigma[target[rows]] = split.sigma[rows]
        n[target[rows]] = split.multiplicity[rows]
        columns.append((value, sigma, n))
    (plus, sigma_plus, n_plus), (minus, sigma_minus, n_minus) = columns
    minus = np.where(mean.centric, plus, minus)
    sigma_minus = np.where(mean.centric, sigma_plus, sigma_minus)
    return AnomalousPairs(mean, plus, minus, sigma_plus, sigma_minus, n_plus, n_minus)
