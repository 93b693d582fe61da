"""From peaks to distinct lattice vectors."""

from __future__ import annotations

import numpy as np


def group_vectors(
    vectors: np.ndarray, weights: np.ndarray, relative_length: float = 0.1, angle: float = 5.0
) -> tuple[np.ndarray, np.ndarray]:
    """Unite vectors that are equal or opposite within a tolerance.

    Parameters
    ----------
    vectors : (m, 3) float64, angstrom
    weights : (m,) float64
    relative_length, angle
        Tolerances: fraction of the length and degrees.

    Returns
    -------
    vectors : (k, 3) float64
        Mean of each group, in the order of the first member.
    weights : (k,) float64
        Largest weight of each group.
    """
    n = 0
    sums = np.zeros((len(vectors), 3))
    counts = np.zeros(len(vectors))
    means = np.zeros((len(vectors), 3))
    lengths = np.zeros(len(vectors))
    group_weights = np.zeros(len(vectors))
    smallest_cosine = np.cos(np.radians(angle))
    for vector, weight in zip(vectors, weights, strict=True):
        length = np.linalg.norm(vector)
        difference = np.abs(lengths[:n] - length) / np.maximum(lengths[:n], length)
        cosine = means[:n] @ vector / (lengths[:n] * length)
        alike = np.flatnonzero((difference < relative_length) & (np.abs(cosine) > smallest_cosine))
        if len(alike):
            g = alike[0]
            vector = vector if cosine[g] > 0 else -vector
        else:
            g = n
            n += 1
        sums[g] += vector
        counts[g] += 1
        means[g] = sums[g] / counts[g]
        lengths[g] = np.linalg.norm(means[g])
        group_weights[g] = max(group_weights[g], weight)
    return means[:n], group_weights[:n]


def drop_multiples(vectors: np.ndarray, weights: np.ndarray, tolerance: float = 0.2, angle: float = 5.0) -> np.ndarray:
    """Which vectors are not multiples of a shorter one with more weight, (m,) bool; give them sorted by length."""
    lengths = np.linalg.norm(vectors, axis=1)
    unit = vectors / lengths[:, None]
    kept = np.zeros(len(vectors), dtype=bool)
    for i in range(len(vectors)):
        ratio = lengths[i] / lengths
        multiple = (
            kept
            & (weights > weights[i])
            & (np.abs(unit @ unit[i]) > np.cos(np.radians(angle)))
            & (np.abs(ratio - np.rint(ratio)) < tolerance)
        )
        kept[i] = not multiple.any()
    return kept


def collect_vectors(vectors: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct vectors, those with the largest peaks first, and their weights (voxels)."""
    order = np.argsort(np.linalg.norm(vectors, axis=1), kind="stable")
    grouped, weights = group_vectors(vectors[order], sizes[order].astype(float))
    if len(grouped) == 0:
        return grouped, weights
    order = np.argsort(np.linalg.norm(grouped, axis=1), kind="stable")
    grouped, weights = grouped[order], weights[order]
    keep = drop_multiples(grouped, weights)
    grouped, weights = grouped[keep], weights[keep]
    order = np.argsort(-weights, kind="stable")
    return grouped[order], weights[order]
