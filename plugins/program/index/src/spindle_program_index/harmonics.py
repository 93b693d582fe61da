"""Harmonics of the beam: spots of a part of the wavelength, between the points of the lattice.

A part 1/p of the wavelength puts the reflection h of a crystal where the index h of a cell is that is p times as large in all directions. Such
spots have a supercell, and are told from satellites of a superstructure by being as strong or weak as the reflections h themselves.
"""

from __future__ import annotations

import numpy as np

from spindle.symmetry import niggli_reduce

from .non_primitive import conditions

#: Pairs of reflections, their correlation, and standard deviations of it, that tell a harmonic.
FEWEST_PAIRS, LEAST_CORRELATION, SIGNIFICANT = 15, 0.5, 4.5
#: Where other spots have told the harmonic fewer pairs do, if the logarithms of their ratios differ by no more than this.
FEWEST_PAIRS_MORE, LIKE_RATIOS = 5, 0.35
#: Harmonics of monochromators and undulators.
HARMONICS = (3, 2, 5)
#: A condition that indices meet by so much more than by chance is looked at.
MORE_THAN_CHANCE = 0.1


def is_harmonic(
    between: np.ndarray, between_intensity: np.ndarray, hkl: np.ndarray, intensity: np.ndarray, d_star: np.ndarray,
    is_told: bool = False,
) -> bool:  # fmt: skip
    """Whether spots between the points of a lattice are as strong as its reflections of the same indices.

    Parameters
    ----------
    between : (m, 3) int
        Indices of the spots between, in the cell that is as many times as large in all directions as the wavelength is divided by.
    between_intensity : (m,) float64
    hkl : (n, 3) int
        Indices of the spots of the lattice.
    intensity : (n,) float64
    d_star : (m,) float64, 1/angstrom
        Of the spots between.
    is_told : bool
        Whether other spots have told the harmonic: then fewer convince.

    Returns
    -------
    bool
        By the rank correlation of both, without what they have in common since both are weak far from the origin (Fisher's z). A structure
        that almost repeats itself in a smaller cell has no such pairs.
    """
    there, here = _means(hkl, intensity), _means(between, between_intensity)
    places = _means(between, d_star**2)
    pairs = np.array([(here[key], there[key], places[key]) for key in here if key in there]).reshape(-1, 3)
    n = len(pairs)
    if n < (FEWEST_PAIRS_MORE if is_told else FEWEST_PAIRS) or pairs[:, :2].min() <= 0:
        return False
    trend = np.stack([np.ones(n), pairs[:, 2] / pairs[:, 2].max()], axis=1)

    def left(values: np.ndarray) -> np.ndarray:
        return np.asarray(values - trend @ np.linalg.lstsq(trend, values, rcond=None)[0])

    if is_told:
        ratio = left(np.log(pairs[:, 0] / pairs[:, 1]))
        return bool(np.sqrt(ratio @ ratio / (n - 2)) < LIKE_RATIOS)
    one, other = left(ranks(pairs[:, 0])), left(ranks(pairs[:, 1]))
    correlation = float(one @ other / np.sqrt(max((one @ one) * (other @ other), 1e-30)))
    return bool(correlation > LEAST_CORRELATION and np.arctanh(min(correlation, 0.9999)) * np.sqrt(n - 4) > SIGNIFICANT)


def ranks(values: np.ndarray) -> np.ndarray:
    """Places of values (n,) in their order, from 1; equal ones have the mean of theirs. float64."""
    _, group, count = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(count) - (count - 1) / 2)[group])


def _means(hkl: np.ndarray, values: np.ndarray) -> dict[tuple[int, ...], float]:
    """Mean values of spots with the same index or its inverse."""
    found: dict[tuple[int, ...], list[float]] = {}
    for index, value in zip(map(tuple, hkl.tolist()), values.tolist(), strict=True):
        found.setdefault(max(index, tuple(-v for v in index)), []).append(value)
    return {index: float(np.mean(own)) for index, own in found.items()}


def without_harmonic(
    basis: np.ndarray, hkl: np.ndarray, intensity: np.ndarray, d_star: np.ndarray, told: int = 0
) -> tuple[np.ndarray, int] | None:
    """The reduced basis of a smaller cell that most indices have, where those that do not are of a harmonic of the beam.

    Parameters
    ----------
    basis : (3, 3) float64, angstrom
        Rows a, b, c.
    hkl : (n, 3) int
        Of the spots in that cell.
    intensity : (n,) float64
    d_star : (n,) float64, 1/angstrom
    told : int
        Harmonic that other spots have told; 0 for none.

    Returns
    -------
    basis : (3, 3) float64, angstrom
    harmonic : int
        Of the beam; None for both where there is none.
    """
    hkl = np.asarray(hkl, dtype=np.int64)
    for modulus in HARMONICS:
        own = [(c[0], c[2]) for c in conditions() if c[1] == modulus]
        met = (hkl @ np.array([vector for vector, _ in own]).T) % modulus == 0
        shares = met.mean(axis=0) if len(hkl) else np.zeros(len(own))
        best = int(np.argmax(shares))
        off = ~met[:, best]
        if shares[best] < 1 / modulus + MORE_THAN_CHANCE or not off.any():
            continue
        if is_harmonic(modulus * hkl[off], intensity[off], hkl, intensity, d_star[off], modulus == told):
            return np.asarray(niggli_reduce(np.linalg.inv(own[best][1]).T @ basis)[0]), modulus
    return None
