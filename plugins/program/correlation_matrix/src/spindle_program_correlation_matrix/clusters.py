"""Groups of data sets: trees of their correlations and angles, and dense places among their coordinates."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial.distance import cdist

from spindle_lib_cells.clusters import tree

from .sets import ComparedSets

__all__ = ["Branch", "Dense", "angle_distances", "branches", "correlation_distances", "dense_clusters"]

#: A silhouette below this does not tell several clusters from chance: one Gaussian cloud reaches 0.47.
LEAST_SILHOUETTE = 0.5
MOST_NEIGHBOURS = 50
#: Between clusters 1 - CC is larger by this factor than inside them: less is how chance divides sets that are all alike.
LEAST_CONTRAST = 1.5


@dataclass(frozen=True, slots=True)
class Branch:
    """A group of a tree.

    Attributes
    ----------
    number : int
        Its row of the linkage matrix, from 1.
    members : list of int
        Places of the sets.
    height : float
        Distance of the two groups that it joins.
    multiplicity, completeness : float
        Of its sets together.
    cell : (6,) float64
        Mean.
    """

    number: int
    members: list[int]
    height: float
    multiplicity: float
    completeness: float
    cell: np.ndarray


@dataclass(frozen=True, slots=True)
class Dense:
    """Clusters of points.

    Attributes
    ----------
    labels : (n,) int64
        Cluster of each point, -1 for none.
    silhouette : float
        NaN with fewer than two clusters.
    neighbours : int
        Number that a dense place needs.
    ordering : (n,) int64
        Points in the order in which they were reached.
    reachability : (n,) float64
        Of the points in that order; infinite where a new place begins.
    """

    labels: np.ndarray
    silhouette: float
    neighbours: int
    ordering: np.ndarray
    reachability: np.ndarray

    @property
    def n_clusters(self) -> int:
        """How many there are."""
        return int(self.labels.max(initial=-1)) + 1


def correlation_distances(cc: np.ndarray) -> np.ndarray:
    """(n, n) float64: 1 - CC; 1 where it is not known."""
    distances = 1.0 - np.clip(np.nan_to_num(cc), -1.0, 1.0)
    distances = (distances + distances.T) / 2
    np.fill_diagonal(distances, 0.0)
    return distances


def angle_distances(vectors: np.ndarray) -> np.ndarray:
    """(n, n) float64: 1 - cosine of the angle between vectors."""
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1), 1e-300)[:, None]
    distances = 1.0 - np.clip(unit @ unit.T, -1.0, 1.0)
    np.fill_diagonal(distances, 0.0)
    return distances


def branches(distances: np.ndarray, method: str, sets: ComparedSets) -> tuple[np.ndarray, list[Branch]]:
    """The tree of distances (n, n), as scipy's linkage matrix, and what its groups hold, in order of height."""
    linkage = tree(distances, method)
    n = len(distances)
    members = {i: [i] for i in range(n)}
    keys = dict(enumerate(sets.keys))
    found = []
    for k, (a, b, height, _) in enumerate(linkage):
        first, second = int(a), int(b)
        members[n + k] = sorted(members.pop(first) + members.pop(second))
        keys[n + k] = np.union1d(keys.pop(first), keys.pop(second))
        inside, unique = members[n + k], len(keys[n + k])
        multiplicity = sum(sets.counts[i] for i in inside) / unique
        completeness = min(unique / sets.n_possible, 1.0)
        found.append(Branch(k + 1, inside, float(height), multiplicity, completeness, sets.cells[inside].mean(axis=0)))
    return linkage, found


def dense_clusters(points: np.ndarray, params: Any, cc: np.ndarray | None = None) -> Dense:
    """Clusters by OPTICS, with the number of neighbours that separates them best, or none.

    Parameters
    ----------
    points : (n, dimension) float64
    params
        ``significant_clusters``.
    cc : (n, n) float64, optional
        Correlations, NaN where not known: clusters between which they are hardly smaller than inside are one.
    """
    n, dimension = points.shape
    guess = max(5, int((params.min_points_buffer or 0.0) * n / dimension))
    if n < 5:
        candidates = [n]
    elif not params.optimise_input:
        candidates = [min(params.min_points or 5, n)]
    else:
        candidates = sorted(range(5, min(n, MOST_NEIGHBOURS) + 1), key=lambda m: abs(m - guess))
    best: tuple[float, float, Any, int] | None = None
    apart = cdist(
        points, points
    )  # once; the threads with which scikit-learn finds neighbours cost more than they gain here
    for m in candidates:
        model = _optics(apart, m, params.max_distance, params.xi)
        score, silhouette = _score(apart, model.labels_, params.noise_penalty)
        if params.optimise_input and cc is not None and not _differ(model.labels_, cc):
            continue
        if score is not None and (best is None or score > best[0] + 1e-12):
            best = score, silhouette, model, m
    if best is not None and (best[0] >= LEAST_SILHOUETTE or not params.optimise_input):
        return _dense(best[2], best[2].labels_, best[1], best[3])
    m = min(guess, n)
    model = _optics(apart, m, params.max_distance, params.xi)
    return _dense(model, _one_cluster(model, params.xi or 0.0), float("nan"), m)


def _optics(apart: np.ndarray, neighbours: int, max_distance: float | None, xi: float | None) -> Any:
    from sklearn.cluster import OPTICS

    model = OPTICS(
        min_samples=max(2, neighbours), max_eps=np.inf if max_distance is None else max_distance, xi=xi or 0.05,
        cluster_method="xi", metric="precomputed",
    )  # fmt: skip
    with np.errstate(divide="ignore", invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that no point reaches another is an answer
        return model.fit(apart)


def _differ(labels: np.ndarray, cc: np.ndarray) -> bool:
    """Whether sets of different clusters correlate less than those of one."""
    inside = labels >= 0
    known = np.isfinite(cc) & inside[:, None] & inside & ~np.eye(len(cc), dtype=bool)
    same = known & (labels[:, None] == labels)
    other = known & (labels[:, None] != labels)
    if not same.any() or not other.any():
        return True
    return bool(1.0 - cc[other].mean() > LEAST_CONTRAST * (1.0 - cc[same].mean()))


def _score(apart: np.ndarray, labels: np.ndarray, penalty: Any) -> tuple[float | None, float]:
    """Silhouette with a penalty for noise, and without; None where there are not two clusters."""
    from sklearn.metrics import silhouette_score

    inside = labels >= 0
    n_clusters = len(np.unique(labels[inside]))
    if n_clusters < 2 or n_clusters >= np.count_nonzero(inside):
        return None, float("nan")
    silhouette = float(silhouette_score(apart[np.ix_(inside, inside)], labels[inside], metric="precomputed"))
    noise = 1.0 - float(np.mean(inside))
    return silhouette * (1.0 - (penalty.alpha or 0.0) * noise ** (penalty.gamma or 0.0)), silhouette


def _one_cluster(model: Any, xi: float) -> np.ndarray:
    """All points that are reached from others, but those behind a steep rise of the reachability."""
    labels = np.full(len(model.labels_), -1, dtype=np.int64)
    reach = model.reachability_[model.ordering_]
    reached = np.flatnonzero(np.isfinite(reach))
    if not len(reached):
        return labels
    rise = np.flatnonzero(np.diff(reach[reached]) > max(xi, 1e-12) * 2)
    last = reached[rise[0]] if len(rise) and rise[0] >= len(reached) // 2 else reached[-1]
    inside = model.ordering_[reached[reached <= last]]
    labels[inside] = 0
    first = model.ordering_[reached[0] - 1] if reached[0] > 0 else None  # the point that all were reached from
    if first is not None and np.isfinite(model.core_distances_[first]):
        cores = model.core_distances_[inside]
        cores = cores[np.isfinite(cores)]
        if not len(cores) or abs(model.core_distances_[first] - cores.mean()) <= 3 * cores.std() + 1e-12:
            labels[first] = 0
    return labels


def _dense(model: Any, labels: np.ndarray, silhouette: float, neighbours: int) -> Dense:
    ordering = np.asarray(model.ordering_, dtype=np.int64)
    return Dense(
        np.asarray(labels, dtype=np.int64), silhouette, neighbours, ordering, np.asarray(model.reachability_[ordering])
    )
