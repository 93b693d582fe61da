"""Groups of things that are near to each other."""

from __future__ import annotations

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

__all__ = ["clusters", "tree"]


def tree(distances: np.ndarray, method: str = "single") -> np.ndarray:
    """Hierarchical clusters as scipy's linkage matrix, (n - 1, 4) float64.

    Parameters
    ----------
    distances : (n, n) float64
        Symmetric, n at least 2.
    method : str
        "single": two groups are as far apart as their nearest members; scipy knows others.
    """
    return np.asarray(linkage(squareform(distances, checks=False), method=method))


def clusters(distances: np.ndarray, threshold: float | None, method: str = "single") -> list[list[int]]:
    """Members of each group, the largest group first, then in the order of their first members.

    Parameters
    ----------
    distances : (n, n) float64
    threshold : float or None
        Groups farther apart than this stay apart; None joins all.
    method : str
    """
    n = len(distances)
    if n < 2 or threshold is None:
        return [list(range(n))] if n else []
    labels = fcluster(tree(distances, method), threshold, criterion="distance")
    groups = [np.flatnonzero(labels == label).tolist() for label in np.unique(labels)]
    return sorted(groups, key=lambda members: (-len(members), members[0]))
