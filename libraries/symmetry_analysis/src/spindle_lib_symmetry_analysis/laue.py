"""How likely each symmetry of the lattice is a symmetry of the intensities.

Evans (2006), Acta Cryst. D62, 72-82, and (2011), Acta Cryst. D67, 282-292, appendix A.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spindle.symmetry import LatticeSubgroup
from spindle_lib_merging import correlation, pack_indices

MAX_PAIRS = 20000
N_SAMPLES = 200
MIN_PAIRS_OF_OPERATOR = 2


@dataclass(slots=True)
class ElementScore:
    """One rotation (with its inverse) of the lattice: correlation of the intensities that it relates."""

    rotation: np.ndarray
    order: int
    axis: tuple[int, int, int]
    cc: float
    n: int
    sigma: float
    likelihood: float
    p_present: float
    p_absent: float

    @property
    def z_cc(self) -> float:
        """Correlation in units of its standard deviation."""
        return self.cc / self.sigma


@dataclass(slots=True)
class SubgroupScore:
    """One subgroup of the lattice symmetry."""

    subgroup: LatticeSubgroup
    likelihood: float
    confidence: float
    z_for: float
    z_against: float
    cc_for: float
    cc_against: float

    @property
    def z_net(self) -> float:
        """Z of the operators inside minus Z of those outside."""
        return self.z_for - self.z_against


class IntensityMap:
    """Intensities by Miller index, Friedel mates merged, in which operators can be looked up.

    Parameters
    ----------
    hkl : (n, 3) int
        Unique, one of each Friedel pair.
    intensity : (n,) float64
    """

    def __init__(self, hkl: np.ndarray, intensity: np.ndarray) -> None:
        self.hkl = np.asarray(hkl, dtype=np.int64)
        self.intensity = intensity
        keys = np.concatenate([pack_indices(self.hkl), pack_indices(-self.hkl)])
        order = np.argsort(keys, kind="stable")
        self._keys = keys[order]
        self._rows = order % max(len(self.hkl), 1)

    def partners(self, rotation: np.ndarray) -> np.ndarray:
        """(n,) int: row of the index h R for each h, -1 where it was not measured."""
        if not len(self.hkl):
            return np.zeros(0, np.int64)
        wanted = pack_indices(self.hkl @ rotation)
        place = np.minimum(np.searchsorted(self._keys, wanted), len(self._keys) - 1)
        return np.where(self._keys[place] == wanted, self._rows[place], -1)


def correlation_spread(
    intensity: np.ndarray, d: np.ndarray, key: np.ndarray, rng: np.random.Generator
) -> tuple[float, float, int]:
    """Spread of correlations of unrelated reflections: sd(CC) = factor / sqrt(n).

    Pairs are drawn within bins of resolution, from reflections that no symmetry of the lattice relates.

    Parameters
    ----------
    intensity, d : (n,) float64
    key : (n,) int
        Number of each reflection's orbit under the lattice group.

    Returns
    -------
    factor, cc of all pairs, number of pairs
    """
    order = np.argsort(-d)
    n = len(order)
    size = max(200, int(np.ceil(n / 500)))
    first = rng.permutation(n)
    first_all, second_all = [], []
    for start in range(0, n, size):
        rows = order[start : start + size]
        if len(rows) < 4:
            continue
        mixed = rng.permutation(rows)
        half = len(mixed) // 2
        first_all.append(mixed[:half])
        second_all.append(mixed[half : 2 * half])
    if not first_all:
        return 0.0, 0.0, 0
    first, second = np.concatenate(first_all), np.concatenate(second_all)
    different = key[first] != key[second]
    first, second = first[different][:MAX_PAIRS], second[different][:MAX_PAIRS]
    m = len(first)
    x, y = intensity[first], intensity[second]
    sizes = np.arange(5, min(200, m // 10) + 1)
    if len(sizes) < 4:
        return 0.0, correlation(x, y) if m > 1 else 0.0, m
    picks = rng.integers(0, m, size=(N_SAMPLES, sizes[-1]))
    xs, ys = x[picks], y[picks]
    sums = [np.cumsum(v, axis=1)[:, sizes - 1] for v in (xs, ys, xs * xs, ys * ys, xs * ys)]
    sx, sy, sxx, syy, sxy = sums
    top = sizes * sxy - sx * sy
    bottom = np.sqrt(np.maximum((sizes * sxx - sx**2) * (sizes * syy - sy**2), 1e-300))
    rms = np.sqrt(np.mean((top / bottom) ** 2, axis=0))
    slope = np.polyfit(1.0 / np.sqrt(sizes), rms, 1)[0]
    return float(max(slope, 0.0)), correlation(x, y), m


def _truncated_cauchy(cc: float, location: np.ndarray | float, scale: float) -> np.ndarray:
    """Density at `cc` of a Cauchy distribution cut to [-1, 1]."""
    location = np.asarray(location, dtype=np.float64)
    density = 1.0 / (np.pi * scale * (1.0 + ((cc - location) / scale) ** 2))
    mass = (np.arctan((1.0 - location) / scale) - np.arctan((-1.0 - location) / scale)) / np.pi
    return np.asarray(density / mass)


def likelihoods(cc: float, sigma: float, cc_true: float) -> tuple[float, float]:
    """p(CC | symmetry present) and p(CC | absent); the latter averages over expectations m with weight sqrt(1 -
    m^2).
    """
    nodes, weights = np.polynomial.legendre.leggauss(64)
    m, w = 0.5 * (nodes + 1.0), 0.5 * weights
    prior = np.sqrt(1.0 - m**2) * w
    absent = float(np.sum(_truncated_cauchy(cc, m, sigma) * prior) / np.sum(prior))
    return float(_truncated_cauchy(cc, cc_true, sigma)), absent


def without_extremes(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs whose values lie within 20 interquartile ranges of the quartiles."""
    keep = np.ones(len(x), dtype=np.bool_)
    for values in (x, y):
        if len(values) < 4:
            continue
        low, high = np.percentile(values, [25, 75])
        reach = 20.0 * (high - low)
        keep &= (values >= low - reach) & (values <= high + reach)
    return x[keep], y[keep]


def score_operator(table: IntensityMap, rotation: np.ndarray, order: int) -> tuple[float, int]:
    """Correlation of the intensities of h and h R (and h R^-1) and the number of pairs; axial reflections are left
    out.
    """
    operators = [rotation] if order == 2 else [rotation, np.rint(np.linalg.inv(rotation)).astype(np.int64)]
    xs, ys = [], []
    number = np.arange(len(table.hkl))
    for operator in operators:
        partner = table.partners(operator)
        pairs = (partner >= 0) & (partner != number)
        xs.append(table.intensity[pairs])
        ys.append(table.intensity[partner[pairs]])
    x, y = without_extremes(np.concatenate(xs), np.concatenate(ys))
    return (correlation(x, y) if len(x) > 2 else 0.0), len(x)


def score_subgroups(subgroups: list[LatticeSubgroup], elements: list[ElementScore]) -> list[SubgroupScore]:
    """Likelihood of every subgroup from those of the operators inside and outside it; the best first."""
    used = [e for e in elements if e.n > MIN_PAIRS_OF_OPERATOR]
    logs = []
    members = []
    for subgroup in subgroups:
        inside = [any(np.array_equal(e.rotation, r) for r in subgroup.rotations) for e in used]
        members.append(inside)
        logs.append(
            sum(np.log(max(e.p_present if i else e.p_absent, 1e-300)) for e, i in zip(used, inside, strict=True))
        )
    weights = np.exp(np.array(logs) - max(logs))
    weights /= weights.sum()
    scores = []
    for subgroup, inside, weight in zip(subgroups, members, weights, strict=True):
        within = [e for e, i in zip(used, inside, strict=True) if i]
        outside = [e for e, i in zip(used, inside, strict=True) if not i]
        scores.append(
            SubgroupScore(
                subgroup, float(weight), 0.0, _rms_z(within), _rms_z(outside), _mean_cc(within), _mean_cc(outside)
            )
        )
    scores.sort(key=lambda s: (-s.likelihood, -s.subgroup.group.number))
    for i, score in enumerate(scores):
        following = scores[i + 1].likelihood if i + 1 < len(scores) else 0.0
        product = score.likelihood * (score.likelihood - following)
        score.confidence = float(np.sqrt(max(product, 0.0)))
    return scores


def _rms_z(elements: list[ElementScore]) -> float:
    return float(np.sqrt(np.mean([e.z_cc**2 for e in elements]))) if elements else 0.0


def _mean_cc(elements: list[ElementScore]) -> float:
    total = sum(e.n for e in elements)
    return float(sum(e.cc * e.n for e in elements) / total) if total else 0.0


def distinct_elements(rotations: list[np.ndarray]) -> list[tuple[np.ndarray, int, tuple[int, int, int]]]:
    """One rotation of each pair of inverses, with its order and axis (a primitive lattice vector); the identity first."""
    seen: set[bytes] = set()
    result = []
    for rotation in rotations:
        inverse = np.rint(np.linalg.inv(rotation)).astype(np.int64)
        if inverse.tobytes() in seen:
            continue
        seen.add(rotation.astype(np.int64).tobytes())
        order, power = 1, rotation
        while not np.array_equal(power, np.eye(3)):
            power = power @ rotation
            order += 1
        result.append((rotation, order, _axis_of(rotation)))
    return sorted(result, key=lambda r: r[1] != 1)


def _axis_of(rotation: np.ndarray) -> tuple[int, int, int]:
    """Primitive lattice vector that a rotation leaves as it is."""
    if np.array_equal(rotation, np.eye(3)):
        return (0, 0, 0)
    total = np.zeros((3, 3), dtype=np.int64)
    power = np.eye(3, dtype=np.int64)
    for _ in range(12):
        total += power
        power = power @ rotation
    column = total[:, int(np.argmax(np.abs(total).sum(axis=0)))]
    column = column // np.gcd.reduce(column)
    column = column * np.sign(column[np.flatnonzero(column)[0]])
    return int(column[0]), int(column[1]), int(column[2])


def stars(likelihood: float, limits: tuple[float, float, float]) -> str:
    """Three, two, one or no stars."""
    return "*" * sum(likelihood > limit for limit in limits)
