"""Index assignment from index differences of neighbouring spots, tolerant of a lattice that drifts (Kabsch 2010)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .assignment import Assignment, keep_best


def assign_local(
    rlp: np.ndarray, phi: np.ndarray, sweep: np.ndarray, lattices: Sequence[np.ndarray], params: Any
) -> Assignment:
    """Follow the minimum spanning tree of reliable index differences; the largest subtree is the lattice.

    Notes
    -----
    Kabsch (2010), Acta Cryst. D66, 133-144, section 2.2.2. A spot that several lattices
    claim goes to the one from whose lattice point it is least distant.
    """
    n = len(rlp)
    hkl = np.zeros((n, 3), np.int32)
    lattice = np.full(n, -1, np.int32)
    distance = np.full(n, np.inf)
    for here in np.unique(sweep):
        rows = np.flatnonzero(sweep == here)
        for number, A in enumerate(lattices):
            found, indices = _one_lattice(rlp[rows], phi[rows], A, params)
            away = np.sum((rlp[rows] @ np.linalg.inv(A).T - indices) ** 2, axis=1)
            better = found & np.any(indices != 0, axis=1) & (away < distance[rows])
            chosen = rows[better]
            hkl[chosen], lattice[chosen], distance[chosen] = indices[better], number, away[better]
    accepted = lattice >= 0
    keep_best(hkl, lattice, sweep, phi, distance, accepted)
    hkl[~accepted] = 0
    lattice[~accepted] = -1
    return Assignment(hkl, lattice)


def _one_lattice(rlp: np.ndarray, phi: np.ndarray, A: np.ndarray, params: Any) -> tuple[np.ndarray, np.ndarray]:
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components, minimum_spanning_tree
    from scipy.spatial import cKDTree

    n = len(rlp)
    nothing = np.zeros(n, dtype=bool), np.zeros((n, 3), np.int32)
    if n < 2:
        return nothing
    neighbours = min(int(params.nearest_neighbours) + 1, n)
    _, near = cKDTree(np.column_stack([rlp, phi])).query(np.column_stack([rlp, phi]), k=neighbours)
    first = np.repeat(np.arange(n), neighbours - 1)
    second = near[:, 1:].ravel()
    difference = (rlp[second] - rlp[first]) @ np.linalg.inv(A).T
    whole = np.rint(difference)
    off = np.maximum(np.abs(difference - whole) - params.epsilon, 0) / params.epsilon
    large = np.maximum(np.abs(whole) - params.delta, 0)
    quality = 1 - np.exp(-2 * (np.sum(off**2, axis=1) + np.sum(large**2, axis=1)))
    good = quality < params.l_min
    first, second, whole, quality = first[good], second[good], whole[good].astype(np.int64), quality[good]
    low, high = np.minimum(first, second), np.maximum(first, second)
    whole[first > second] *= -1
    _, unique = np.unique(low * n + high, return_index=True)
    low, high, whole, quality = low[unique], high[unique], whole[unique], quality[unique]
    if len(low) == 0:
        return nothing
    weights = coo_matrix((quality + 1e-6, (low, high)), shape=(n, n)).tocsr()
    tree = minimum_spanning_tree(weights)
    n_parts, part = connected_components(tree, directed=False)
    largest = int(np.argmax(np.bincount(part, minlength=n_parts)))
    indices = _sum_along(tree, part == largest, low * n + high, whole)
    members = np.flatnonzero(part == largest)
    # The tree knows differences only: its lowest-resolution spots, least sensitive to errors of A, fix the offset.
    by_resolution = members[np.argsort(np.sum(rlp[members] ** 2, axis=1))][: max(1, min(20, len(members)))]
    offset = np.rint(np.median(rlp[by_resolution] @ np.linalg.inv(A).T - indices[by_resolution], axis=0)).astype(
        np.int64
    )
    indices[members] += offset
    return part == largest, indices.astype(np.int32)


def _sum_along(tree: Any, inside: np.ndarray, edge_keys: np.ndarray, differences: np.ndarray) -> np.ndarray:
    """Indices of the members of a tree, relative to its root, from the index differences along its edges."""
    from scipy.sparse.csgraph import breadth_first_order

    n = tree.shape[0]
    root = int(np.flatnonzero(inside)[0])
    order, parent = breadth_first_order(tree, root, directed=False)
    child, above = order[1:], parent[order[1:]]
    key = np.minimum(child, above).astype(np.int64) * n + np.maximum(child, above)
    place = np.searchsorted(edge_keys, key)
    step = np.where((child > above)[:, None], differences[place], -differences[place])
    # Pointer jumping: after k rounds every node knows the sum over 2^k edges towards the root.
    total = np.zeros((n, 3), dtype=np.int64)
    total[child] = step
    up = np.arange(n)
    up[child] = above
    while np.any(up[order] != root):
        total[order] += total[up[order]]
        up[order] = up[up[order]]
    return total
