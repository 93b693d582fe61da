"""Connected regions of reflections that were not measured."""

from __future__ import annotations

from dataclasses import dataclass

import gemmi
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from spindle.symmetry import asu_indices, laue_group_ops, primitive_operator
from spindle_lib_merging import pack_indices

__all__ = ["Regions", "missing_regions"]

#: Neighbours share a face or an edge of their cells of the primitive reciprocal lattice.
REACH = 1.5


@dataclass(frozen=True, slots=True)
class Regions:
    """Where reflections are missing.

    Attributes
    ----------
    regions : list of (n, 3) int32
        Unique indices of each connected region of more than one, the largest first.
    n_single : int
        Missing reflections that are in none of them.
    """

    regions: list[np.ndarray]
    n_single: int


def missing_regions(complete: np.ndarray, seen: np.ndarray, group: gemmi.SpaceGroup, cell: np.ndarray) -> Regions:
    """Join missing reflections that are neighbours in the whole sphere, and count each symmetry-equivalent region once.

    Parameters
    ----------
    complete, seen : (n, 3) and (m, 3) int32
        Unique indices that there are, and that were measured.
    group : gemmi.SpaceGroup
    cell : (6,) float64, angstrom and degrees
    """
    missing = complete[~np.isin(pack_indices(complete), pack_indices(seen))]
    if not len(missing):
        return Regions([], 0)
    turns = laue_group_ops(group, proper=True)
    sphere = np.concatenate([sign * (missing @ turn) for turn in turns for sign in (1, -1)])
    _, first = np.unique(pack_indices(sphere), return_index=True)
    sphere = sphere[first].astype(np.int32)
    places, whole = primitive_operator(group).apply_to_indices(sphere)
    places = places[whole]
    sphere = sphere[whole]
    pairs = KDTree(places).query_pairs(REACH, output_type="ndarray")
    n = len(sphere)
    graph = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    _, label = connected_components(graph, directed=False)
    keys = pack_indices(asu_indices(sphere, group)[0])
    order = np.lexsort((keys, label))
    cuts = np.flatnonzero(np.diff(label[order])) + 1
    regions: dict[bytes, np.ndarray] = {}
    covered: list[np.ndarray] = []
    for rows in np.split(order, cuts):
        unique = np.unique(keys[rows])
        if len(rows) > 1 and len(unique) > 1 and unique.tobytes() not in regions:
            regions[unique.tobytes()] = unique
            covered.append(unique)
    ordered = sorted(regions.values(), key=lambda u: (-len(u), u[0]))
    missing_keys = pack_indices(missing)
    rank = np.argsort(missing_keys)
    found = [missing[rank[np.searchsorted(missing_keys[rank], u)]] for u in ordered]
    inside = np.unique(np.concatenate(covered)) if covered else np.zeros(0, np.int64)
    return Regions(found, int(len(missing) - len(inside)))
