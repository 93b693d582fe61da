"""Moments and distributions of intensities, and of the differences of neighbours: they tell twins without a twin law.

Values for single crystals follow from Wilson's statistics (Wilson 1949, Acta Cryst. 2, 318), those for twins from sums of independent
intensities (Stanley 1972, J. Appl. Cryst. 5, 191). L test: Padilla & Yeates (2003), Acta Cryst. D59, 1124.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import numpy as np

from spindle.symmetry import SpaceGroupLike, asu_indices
from spindle_lib_merging import pack_indices

from .intensities import Normalised

#: <|L|> and <L^2> of acentric reflections: single crystal, perfect twin.
ABS_L, L_SQUARED = (0.5, 0.375), (1.0 / 3.0, 0.2)
#: Sum of |dh|, |dk|, |dl| of neighbours, all even, is below this.
REACH = 8
#: Pairs whose sums are less than this many of their errors differ by errors of measurement.
LEAST_SUM = 7.0
#: With more reflections than this only the nearest neighbours are compared.
MANY = 40_000
#: Blocks of reflections that are left out in turn to find errors.
BLOCKS = 20
#: Twin fractions that are tried, and the one above which the likelihood is flat.
FRACTIONS = np.linspace(0.0, 0.5, 251)
FLAT_ABOVE = 0.4


@dataclass(frozen=True, slots=True)
class Moments:
    """Moments of normalised intensities Z = E^2 of one kind of reflections; NaN with fewer than two.

    Attributes
    ----------
    n : int
    second : float
        <Z^2> / <Z>^2: acentric 2, perfect twin 1.5; centric 3 and 2.
    amplitude : float
        <F>^2 / <F^2>: acentric 0.785, perfect twin 0.884; centric 0.637 and 0.785.
    deviation : float
        <|E^2 - 1|>: acentric 0.736, perfect twin 0.541; centric 0.968 and 0.736.
    """

    n: int
    second: float
    amplitude: float
    deviation: float


@dataclass(frozen=True, slots=True)
class LTest:
    """Differences L = (I1 - I2) / (I1 + I2) of neighbours that no symmetry relates.

    Attributes
    ----------
    n : int
        Pairs.
    mean_abs, mean_abs_error : float
        <|L|> and its standard deviation.
    mean_square : float
        <L^2>.
    fraction, fraction_error : float
        Twin fraction of greatest likelihood; above 0.4 it is "0.4 to 0.5".
    cumulative : (21,) float64
        Part of the pairs with |L| below 0, 0.05 ... 1.
    """

    n: int
    mean_abs: float
    mean_abs_error: float
    mean_square: float
    fraction: float
    fraction_error: float
    cumulative: np.ndarray

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "cumulative": [round(float(v), 4) for v in self.cumulative]}


def moments(data: Normalised, centric: bool = False) -> Moments:
    """Moments of the acentric or of the centric reflections, freed of the part that errors of measurement add."""
    rows = data.centric == centric
    z, noise = data.z[rows], data.sigma_z[rows]
    if len(z) < 2:
        return Moments(len(z), np.nan, np.nan, np.nan)
    mean = float(z.mean())
    second = float((z**2).mean() - (noise**2).mean()) / mean**2
    amplitude = np.sqrt(np.maximum(z / mean, 0.0))
    return Moments(len(z), second, float(amplitude.mean()) ** 2, float(np.abs(z / mean - 1.0).mean()))


def cumulative_distribution(data: Normalised, centric: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """N(z): (21,) values of z from 0 to 1, and the part of the reflections below each."""
    z = np.sort(data.z[data.centric == centric])
    places = np.linspace(0.0, 1.0, 21)
    return places, np.searchsorted(z, places, side="right") / max(len(z), 1)


def expected_cumulative(z: np.ndarray, fraction: float) -> np.ndarray:
    """N(z) of acentric reflections of a twin with this fraction, 0 to 0.5."""
    a = fraction
    if a < 1e-6:
        return np.asarray(1.0 - np.exp(-z))
    if a > 0.5 - 1e-4:
        return np.asarray(1.0 - (1.0 + 2.0 * z) * np.exp(-2.0 * z))
    return np.asarray(1.0 - ((1 - a) * np.exp(-z / (1 - a)) - a * np.exp(-z / a)) / (1 - 2 * a))


def neighbour_vectors(reach: int = REACH) -> np.ndarray:
    """(m, 3) int32: differences of indices, all even, one of each pair of opposites, with 2 <= |h| + |k| + |l| < reach."""
    half = range(-(reach - 1) // 2 * 2, reach, 2)
    found = [v for v in product(half, repeat=3) if 2 <= sum(map(abs, v)) < reach and v > (0, 0, 0)]
    return np.array(found, dtype=np.int32).reshape(-1, 3)


def l_test(data: Normalised, group: SpaceGroupLike, special: np.ndarray | None = None) -> LTest:
    """Compare neighbours, whose indices differ by even numbers so that pseudo-translations do not matter.

    Parameters
    ----------
    data : Normalised
    group
        Space group.
    special : (n,) bool, optional
        Reflections to leave out, such as those that a twin law leaves where they are: they are not twinned.
    """
    acentric = np.flatnonzero(~data.centric if special is None else ~(data.centric | special))
    empty = LTest(0, np.nan, np.nan, np.nan, np.nan, np.nan, np.full(21, np.nan))
    if len(acentric) < 2:
        return empty
    keys = pack_indices(data.hkl[acentric])
    order = np.argsort(keys)
    found, block = [], []
    size = max(1, -(-len(acentric) // BLOCKS))
    for vector in neighbour_vectors(4 if len(acentric) > MANY else REACH):
        wanted = pack_indices(asu_indices(data.hkl[acentric] + vector, group)[0])
        place = np.minimum(np.searchsorted(keys[order], wanted), len(keys) - 1)
        partner = order[place]
        pairs = np.flatnonzero((keys[partner] == wanted) & (wanted != keys))
        first, second = data.z[acentric[pairs]], data.z[acentric[partner[pairs]]]
        error = np.hypot(data.sigma_z[acentric[pairs]], data.sigma_z[acentric[partner[pairs]]])
        positive = first + second > LEAST_SUM * error
        found.append(np.clip(np.abs((first - second)[positive] / (first + second)[positive]), 0.0, 1.0))
        block.append(pairs[positive] // size)
    size_of_l, number = np.concatenate(found), np.concatenate(block)
    if len(size_of_l) < 100:
        return empty
    table, edges = np.zeros((BLOCKS, 1000)), np.minimum((size_of_l * 1000).astype(np.int64), 999)
    np.add.at(table, (number, edges), 1.0)
    sums = np.stack([np.bincount(number, size_of_l**k, BLOCKS) for k in range(3)])
    n, first_sum, second_sum = sums.sum(axis=1)
    left = sums.sum(axis=1)[:, None] - sums
    used = (sums[0] > 0) & (left[0] > 0)
    k = int(used.sum())
    means = left[1, used] / left[0, used]
    error = float(np.sqrt((k - 1) / k * ((means - means.mean()) ** 2).sum())) if k > 1 else np.nan
    log_density = np.log(np.maximum(_density(FRACTIONS), 1e-12))
    every = log_density @ table.sum(axis=0)
    fraction = float(FRACTIONS[int(np.argmax(every))])
    parts = FRACTIONS[np.argmax(log_density @ (table.sum(axis=0)[None] - table).T, axis=0)][used]
    fraction_error = float(np.sqrt((k - 1) / k * ((parts - parts.mean()) ** 2).sum())) if k > 1 else np.nan
    cumulative = np.searchsorted(np.sort(size_of_l), np.linspace(0, 1, 21), side="right") / n
    return LTest(int(n), float(first_sum / n), error, float(second_sum / n), fraction, fraction_error, cumulative)


def _density(fractions: np.ndarray) -> np.ndarray:
    """(m, 1000) float64: densities of |L| in 1000 bins for each twin fraction.

    With u = (1 + L) / 2 and a = fraction, p(L) = [(1-a)^2 + a^2 - (u/(1-a) + (1-u)/a)^-2 - (u/a + (1-u)/(1-a))^-2] / (1-2a)^2; each
    intensity is (1-a) J + a J' with independent exponential J, J'. Untwinned 1, perfect twin 3/2 (1 - L^2).
    """
    size = (np.arange(1000) + 0.5) / 1000.0
    u = 0.5 * (1.0 + size)
    found = np.empty((len(fractions), len(size)))
    for i, a in enumerate(fractions):
        if a < 1e-6:
            found[i] = 1.0
        elif a > 0.5 - 5e-3:
            found[i] = 1.5 * (1.0 - size**2)
        else:
            first, second = (u / (1 - a) + (1 - u) / a) ** -2, (u / a + (1 - u) / (1 - a)) ** -2
            found[i] = 2.0 * ((1 - a) ** 2 + a**2 - first - second) / (1 - 2 * a) ** 2
        found[i] /= found[i].mean()
    return found


def mean_abs_l(fraction: float) -> float:
    """<|L|> of acentric reflections of a twin: 0.5 of a single crystal to 0.375 of a perfect twin.

    The intensities (1 - a) x + a y of exponential x and y have densities of two exponential terms, whose products are integrated over
    s = I1 + I2 and t = |I1 - I2| / s.

    Parameters
    ----------
    fraction : float
        a, 0 to 0.5.
    """
    small = float(np.clip(fraction, 0.0, 0.499))  # at 0.5 both terms are one
    large = 1.0 - small
    if small < 1e-6:
        return 0.5
    total = 0.0
    for p, sign_p in ((large, 1.0), (small, -1.0)):
        for q, sign_q in ((large, 1.0), (small, -1.0)):
            middle, half = 0.5 * (1.0 / p + 1.0 / q), 0.5 * (1.0 / p - 1.0 / q)
            if half == 0.0:
                part = 0.5 / middle**2
            else:
                part = (np.log((middle + half) / middle) - half / (middle + half)) / half**2
            total += sign_p * sign_q * part
    return float(total / (large - small) ** 2)
