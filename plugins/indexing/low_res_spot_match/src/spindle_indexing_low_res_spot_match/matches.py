"""Sets of spots with indices whose distances from each other are those of the lattice points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .spots import Indexed

#: Two spots nearer in direction than this, or to opposite directions, do not fix an orientation, degrees.
LEAST_ANGLE_DEG = 5.0
#: Points and the origin may leave a common plane by this, as the sum of squares, 1/angstrom^2: the Ewald sphere is nearly flat.
PLANE = 6e-7
#: Combinations that are looked at together.
BLOCK = 2_000_000


@dataclass(frozen=True)
class Matches:
    """Sets of m spots each.

    Attributes
    ----------
    spot : (k, m) int64
    point : (k, m, 3) float64, 1/angstrom
        Lattice points in the frame of the crystal.
    rlp : (k, m, 3) float64, 1/angstrom
        The spots.
    band : (k, m) float64, 1/angstrom
    residual : (k,) float64, 1/angstrom
        Sum of the differences of distances.
    """

    spot: np.ndarray
    point: np.ndarray
    rlp: np.ndarray
    band: np.ndarray
    residual: np.ndarray


def single_spots(seeds: Indexed) -> Matches:
    """Each spot with an index by itself."""
    return Matches(
        seeds.spot[:, None], seeds.point[:, None], seeds.rlp[:, None], seeds.band[:, None], np.zeros(len(seeds.spot))
    )


def pairs(seeds: Matches, stems: Indexed, most: int) -> Matches:
    """The best pairs of a seed and another spot."""
    return _extended(seeds, stems, most, flat=False)


def extend(matches: Matches, stems: Indexed, most: int) -> Matches:
    """The best sets with one more spot, in one plane with the beam."""
    return _extended(matches, stems, most, flat=True)


def _extended(matches: Matches, stems: Indexed, most: int, flat: bool) -> Matches:
    k, n = len(matches.residual), len(stems.spot)
    kept: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    step = max(1, BLOCK // max(n, 1))
    for start in range(0, k, step):
        own = slice(start, start + step)
        good, residual = _fits(matches, own, stems)
        i, j = np.nonzero(good)
        kept.append((i + start, j, residual[i, j]))
    i, j, residual = (np.concatenate(parts) for parts in zip(*kept, strict=True)) if kept else (np.zeros(0, int),) * 3
    spot = np.column_stack([matches.spot[i], stems.spot[j]])
    point = np.concatenate([matches.point[i], stems.point[j][:, None]], axis=1)
    if flat:
        # The smallest singular value is the distance of the points from their plane through the origin.
        away = np.linalg.svd(point, compute_uv=False)[:, -1] ** 2 if len(point) else np.zeros(0)
        flat_enough = away <= PLANE
        i, j, residual, spot, point = (x[flat_enough] for x in (i, j, residual, spot, point))
    total = matches.residual[i] + residual
    order = np.argsort(total, kind="stable")
    order = order[_first_of_each(spot[order], point[order])][:most]
    return Matches(
        spot[order], point[order], np.concatenate([matches.rlp[i], stems.rlp[j][:, None]], axis=1)[order],
        np.column_stack([matches.band[i], stems.band[j]])[order], total[order],
    )  # fmt: skip


def _fits(matches: Matches, own: slice, stems: Indexed) -> tuple[np.ndarray, np.ndarray]:
    """Which stems (n) go with which sets, and the sum of differences of distances: (k, n) bool and float64."""
    good = np.ones((len(matches.residual[own]), len(stems.spot)), dtype=np.bool_)
    residual = np.zeros(good.shape)
    limit = np.cos(np.radians(LEAST_ANGLE_DEG))
    unit = stems.rlp / np.linalg.norm(stems.rlp, axis=1)[:, None]
    for m in range(matches.spot.shape[1]):
        rlp, point = matches.rlp[own, m], matches.point[own, m]
        good &= matches.spot[own, m][:, None] != stems.spot
        if m == 0:  # a third spot may lie in line with one of the others
            good &= np.abs((rlp / np.linalg.norm(rlp, axis=1)[:, None]) @ unit.T) < limit
        difference = np.abs(_distances(rlp, stems.rlp) - _distances(point, stems.point))
        good &= difference <= np.hypot(matches.band[own, m][:, None], stems.band)
        residual += difference
    return good, residual


def _distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(k, n) float64."""
    square = np.sum(first**2, axis=1)[:, None] + np.sum(second**2, axis=1) - 2 * first @ second.T
    return np.sqrt(np.maximum(square, 0.0))


def _first_of_each(spot: np.ndarray, point: np.ndarray) -> np.ndarray:
    """Rows of the first of those sets that hold the same spots with the same points, whatever the order."""
    if len(spot) == 0:
        return np.zeros(0, dtype=np.int64)
    by_spot = np.argsort(spot, axis=1, kind="stable")
    spot = np.take_along_axis(spot, by_spot, axis=1)
    point = np.take_along_axis(point, by_spot[:, :, None], axis=1)
    key = np.column_stack([spot, np.round(point.reshape(len(point), -1), 9) + 0.0])
    _, first = np.unique(key, axis=0, return_index=True)
    return np.sort(first)
