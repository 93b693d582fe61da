"""The same reflections in two results, whatever axes each has chosen."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import gemmi
import numpy as np
from scipy.spatial import cKDTree

__all__ = ["Pairs", "is_symmetry", "nearest_places", "operator_text", "pair_by_place", "reindexing"]

#: Pixels; images count alike unless they are thinner than 0.4 deg.
MAX_DISTANCE = 4.0
FULL_WIDTH = 0.4
FEWEST = 20


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of rows of two results.

    Attributes
    ----------
    first, second : (m,) int64
        Rows; no row is there twice.
    reindex : (3, 3) float64
        hkl of the second = reindex @ hkl of the first.
    n_near : int
        Pairs by place, whatever their indices.
    n_disagree : int
        Those whose indices do not fit `reindex`; left out.
    """

    first: np.ndarray
    second: np.ndarray
    reindex: np.ndarray
    n_near: int
    n_disagree: int

    def __len__(self) -> int:
        return len(self.first)


def nearest_places(
    panel: np.ndarray, place: np.ndarray, other_panel: np.ndarray, other_place: np.ndarray, image_width_deg: float
) -> tuple[np.ndarray, np.ndarray]:
    """Rows (m,) of places and of the nearest other ones, where those are near enough on the same panel.

    Parameters
    ----------
    panel, place : (n,) int, (n, 3) float64
        Pixels along fast and slow, and images.
    other_panel, other_place : (k,) int, (k, 3) float64
    image_width_deg : float
        Rotation of an image; a difference of thin images counts less.
    """
    if not len(place) or not len(other_place):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    weights = np.array([1.0, 1.0, min(1.0, abs(image_width_deg) / FULL_WIDTH)])
    apart = float(max(np.abs(place[:, :2]).max(), np.abs(other_place[:, :2]).max()) + 10 * MAX_DISTANCE)
    tree = cKDTree(np.column_stack([other_place * weights, other_panel * 2 * apart]))
    distance, partner = tree.query(
        np.column_stack([place * weights, panel * 2 * apart]), distance_upper_bound=MAX_DISTANCE
    )
    near = np.flatnonzero(np.isfinite(distance))
    return near, partner[near]


def pair_by_place(
    panel: np.ndarray,
    place: np.ndarray,
    hkl: np.ndarray,
    other_panel: np.ndarray,
    other_place: np.ndarray,
    other_hkl: np.ndarray,
    image_width_deg: float,
) -> Pairs:
    """Pair the reflections of two results of the same images by their predicted places, and find how their indices are related.

    Parameters
    ----------
    panel, place, hkl : (n,) int, (n, 3) float64, (n, 3) int
        Of the first result; pixels, pixels, images.
    other_panel, other_place, other_hkl
        Of the second.
    image_width_deg : float

    Returns
    -------
    Pairs
        Empty where fewer than 20 reflections are near each other.
    """
    rows, partner = nearest_places(panel, place, other_panel, other_place, image_width_deg)
    n_near = len(rows)
    if n_near < FEWEST:
        none = np.zeros(0, np.int64)
        return Pairs(none, none, np.eye(3), n_near, n_near)
    matrix = reindexing(hkl[rows], other_hkl[partner])
    agree = np.all(np.abs(hkl[rows] @ matrix.T - other_hkl[partner]) < 0.01, axis=1)
    rows, partner = rows[agree], partner[agree]
    distance = np.abs(place[rows] - other_place[partner]).sum(axis=1)
    order = np.lexsort((distance, partner))
    first_of = np.ones(len(order), bool)
    first_of[1:] = partner[order][1:] != partner[order][:-1]
    kept = np.sort(order[first_of])
    return Pairs(rows[kept], partner[kept], matrix, n_near, n_near - len(kept))


def reindexing(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Matrix (3, 3) that takes found indices (n, 3) to true ones, by least squares on the pairs that agree best.

    Its elements are multiples of a sixth: halves between primitive and centred cells, thirds between rhombohedral and
    hexagonal axes.
    """
    chosen = np.arange(len(found))
    matrix = np.eye(3)
    for _ in range(6):
        solution = np.linalg.lstsq(found[chosen].astype(float), true[chosen].astype(float), rcond=None)[0]
        matrix = np.round(6 * solution.T) / 6
        if np.mean(np.all(np.abs(found @ matrix.T - true) < 0.01, axis=1)) > 0.9:
            break
        residual = np.abs(found @ solution - true).sum(axis=1)
        chosen = np.argsort(residual)[: max(FEWEST, int(0.6 * len(chosen)))]
    return matrix if abs(np.linalg.det(matrix)) > 0.01 else np.eye(3)


def is_symmetry(matrix: np.ndarray, group: gemmi.SpaceGroup) -> bool:
    """Whether a change (3, 3) of indices is an operation of the point group, or one of them with the inversion."""
    for operation in group.operations().derive_symmorphic().sym_ops:
        rotation = np.array(operation.rot, dtype=float) / operation.DEN
        if np.allclose(rotation.T, matrix) or np.allclose(rotation.T, -matrix):
            return True
    return False


def operator_text(matrix: np.ndarray) -> str:
    """A change of indices as people write it, such as ``-h,k,-l``."""
    parts = []
    for row in matrix:
        text = ""
        for value, letter in zip(row, "hkl", strict=True):
            number = Fraction(float(value)).limit_denominator(6)
            if number == 0:
                continue
            sign = "-" if number < 0 else "+" if text else ""
            size = abs(number)
            text += f"{sign}{'' if size == 1 else f'{size}*'}{letter}"
        parts.append(text or "0")
    return ",".join(parts)
