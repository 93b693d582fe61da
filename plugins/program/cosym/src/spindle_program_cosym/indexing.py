"""One of its vectors for each data set, so that all point into one direction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spindle_lib_data_set_correlations.pairs import PairCorrelations

__all__ = ["Indexing", "choose_indexing"]

NEIGHBOURS = 10
PASSES = 5


@dataclass(slots=True)
class Indexing:
    """The indexing of each data set; the first one keeps its own.

    Attributes
    ----------
    places : (n_sets,) int64
        Which of the operators turns the indices of each.
    direction : (dimension,) float64
        Mean of the vectors taken, of length 1.
    cosine : (n_sets,) float64
        Of the vector taken with the mean of those of all sets.
    """

    places: np.ndarray
    direction: np.ndarray
    cosine: np.ndarray


def choose_indexing(vectors: np.ndarray, pairs: PairCorrelations) -> Indexing:
    """Begin in the densest place, add the longest vectors first, and ask each set again when all are there.

    Parameters
    ----------
    vectors : (n_operators, n_sets, dimension) float64
    pairs : PairCorrelations
    """
    n_sets, dimension = vectors.shape[1:]
    length = np.linalg.norm(vectors, axis=2)
    unit = vectors / np.maximum(length, 1e-300)[..., None]
    # what surrounds a set under one operator surrounds it, turned, under the others
    cosines = unit[0] @ unit.reshape(-1, dimension).T
    n = min(NEIGHBOURS, cosines.shape[1] - 1)
    nearest = -np.partition(-cosines, n, axis=1)[:, : n + 1] if n else cosines
    seed = int(np.argmax(nearest.mean(axis=1)))
    places = np.zeros(n_sets, dtype=np.int64)
    total = vectors[0, seed].copy()
    for i in sorted(range(n_sets), key=lambda k: -length[:, k].mean()):
        if i != seed:
            places[i] = int(np.argmax(unit[:, i] @ total))
            total += vectors[places[i], i]
    for _ in range(PASSES):
        before = places.copy()
        for i in range(n_sets):
            total -= vectors[places[i], i]
            if np.linalg.norm(total) > 0:
                # what a symmetry leaves alike stays as it is
                rating = unit[:, i] @ total
                if rating.max() > rating[places[i]] + 1e-9:
                    places[i] = int(np.argmax(rating))
            total += vectors[places[i], i]
        if np.array_equal(before, places):
            break
    operators = pairs.operators
    back = np.rint(np.linalg.inv(operators[places[0]])).astype(np.int64)
    places = np.array([pairs.place_of(operators[k] @ back) for k in places], dtype=np.int64)
    taken = vectors[places, np.arange(n_sets)]
    total = taken.sum(axis=0)
    direction = total / max(float(np.linalg.norm(total)), 1e-300)
    return Indexing(places, direction, unit[places, np.arange(n_sets)] @ direction)
