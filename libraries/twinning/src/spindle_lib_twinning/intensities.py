"""Normalised intensities: their mean is one at every resolution and in every direction."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import gemmi
import numpy as np
import numpy.typing as npt

from spindle.symmetry import SpaceGroupLike, epsilon_factors, is_centric, is_systematically_absent
from spindle_lib_symmetry_analysis.normalisation import maximum_likelihood

#: Reflections of a shell whose mean is taken as expected.
PER_SHELL = 200
#: Reflections of lower resolution than this feel the solvent.
LOW_RESOLUTION = 10.0
#: Shells are used as long as this part of their reflections has this I / sigma.
STRONG, STRONG_PART = 3.0, 0.85
#: Or as long as their mean is this many times the error of the weak ones, as it is where the former holds: a class of weak
#: reflections may be that of a pseudo-translation.
STRONG_MEAN = 18.0
#: Fewer reflections than this tell nothing.
FEWEST = 200


@dataclass(frozen=True, slots=True)
class Normalised:
    """Unique reflections of the shells that are measured well, absences left out.

    Attributes
    ----------
    hkl : (n, 3) int32
    intensity, sigma : (n,) float64
        As merged.
    z, sigma_z : (n,) float64
        Intensities over their expectation, and their errors.
    centric : (n,) bool
    d_max, d_min : float, angstrom
        The range of resolution.
    """

    hkl: np.ndarray
    intensity: np.ndarray
    sigma: np.ndarray
    z: np.ndarray
    sigma_z: np.ndarray
    centric: np.ndarray
    d_max: float
    d_min: float

    def __len__(self) -> int:
        return len(self.hkl)


def normalised_intensities(
    hkl: npt.ArrayLike, intensity: npt.ArrayLike, sigma: npt.ArrayLike, cell: npt.ArrayLike, group: SpaceGroupLike
) -> Normalised:
    """Take symmetry factors, fall-off with resolution and anisotropy out of merged intensities.

    Parameters
    ----------
    hkl : (n, 3) int
        Unique indices.
    intensity, sigma : (n,) float
    cell : (6,) float, angstrom and degrees
    group
        Space group.

    Returns
    -------
    Normalised
        Empty where no shell is measured well.

    Notes
    -----
    Shells from 10 A (from the first reflection, where fewer than half of all lie beyond) to the last before the first of which
    less than 85 % have I > 3 sigma: selecting single reflections by their intensity would change the statistics.
    """
    indices = np.ascontiguousarray(hkl, dtype=np.int32)
    values, errors = np.asarray(intensity, dtype=float), np.asarray(sigma, dtype=float)
    unit_cell = gemmi.UnitCell(*np.asarray(cell, dtype=float))
    x = np.asarray(unit_cell.calculate_1_d2_array(indices), dtype=float) if len(indices) else np.zeros(0)
    good = np.isfinite(values) & (errors > 0)
    if len(indices):
        good &= ~is_systematically_absent(indices, group)
    if np.count_nonzero(good & (x > LOW_RESOLUTION**-2)) >= 0.5 * np.count_nonzero(good):
        good &= x > LOW_RESOLUTION**-2
    rows = np.flatnonzero(good)
    rows = rows[np.argsort(x[rows], kind="stable")]
    rows = rows[: _well_measured(values[rows], errors[rows])]
    if len(rows) < FEWEST:
        rows = rows[:0]
    chosen = indices[rows]
    epsilon = epsilon_factors(chosen, group) if len(rows) else np.zeros(0)
    expected = _expected(values[rows], x[rows], chosen, epsilon, unit_cell) if len(rows) else np.zeros(0)
    ends = (float(x[rows[0]] ** -0.5), float(x[rows[-1]] ** -0.5)) if len(rows) else (np.nan, np.nan)
    centric = is_centric(chosen, group) if len(rows) else np.zeros(0, bool)
    return Normalised(
        chosen, values[rows], errors[rows], values[rows] / expected, errors[rows] / expected, centric, *ends
    )


def _well_measured(values: np.ndarray, errors: np.ndarray) -> int:
    """How many reflections, in the order of resolution, the shells before the first weak one hold."""
    n_shells = max(1, len(values) // PER_SHELL)
    for first, last in pairwise(np.linspace(0, len(values), n_shells + 1).astype(int)):
        value, error = values[first:last], errors[first:last]
        if last == first or (value > STRONG * error).mean() >= STRONG_PART:
            continue
        weak = value <= np.median(value)
        if not value.mean() > STRONG_MEAN * np.median(error[weak]):
            return int(first)
    return len(values)


def _expected(
    intensity: np.ndarray, x: np.ndarray, hkl: np.ndarray, epsilon: np.ndarray, cell: gemmi.UnitCell
) -> np.ndarray:
    """Mean intensity at each reflection: a smooth anisotropic fall-off, then the means of shells, interpolated."""
    q = hkl @ np.array(cell.frac.mat.tolist())
    smooth, _, _ = maximum_likelihood(intensity, q, epsilon, True)
    smooth = smooth * epsilon
    ratio = intensity / smooth
    n_shells = max(1, len(x) // PER_SHELL)
    edges = np.linspace(0, len(x), n_shells + 1).astype(int)
    means = np.maximum(np.add.reduceat(ratio, edges[:-1]) / np.diff(edges), 1e-6)
    centres = np.add.reduceat(x, edges[:-1]) / np.diff(edges)
    expected = smooth * np.exp(np.interp(x, centres, np.log(means)))
    return np.asarray(expected * float(np.mean(intensity / expected)))
