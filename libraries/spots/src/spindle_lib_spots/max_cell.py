"""The longest cell edge to be expected, from distances between neighbouring reciprocal lattice points."""

from __future__ import annotations

from typing import Any

import numpy as np

from spindle.contracts.indexing import IndexingError
from spindle.table import ReflectionTable
from spindle_lib_ice import SPOT_WIDTH, in_intervals, ring_intervals

BLOCK = 2**10  # spots that are compared with others at a time
MOST_TILES = 64  # boxes over more tiles of a panel are compared with all others
FEWEST = 10  # spots, and distances between them, from which nothing is estimated


def on_ice_ring(rlp: np.ndarray, width: float = SPOT_WIDTH) -> np.ndarray:
    """Whether each reciprocal lattice point (n, 3) lies on a powder ring of hexagonal ice, (n,) bool."""
    d_star_sq = np.sum(rlp**2, axis=1)
    if len(rlp) == 0:
        return np.zeros(0, dtype=bool)
    return in_intervals(d_star_sq, ring_intervals(max(0.3, 1 / np.sqrt(d_star_sq.max() + width)), width))


def overlaps_another(table: ReflectionTable, border: int = 0) -> np.ndarray:
    """Whether the box of each spot overlaps that of another one of the same sweep and panel, (n,) bool."""
    from .kernels import overlapping_boxes, overlapping_large

    result = np.zeros(len(table), dtype=bool)
    if not len(table):
        return result
    bbox = np.array(table["bbox"], dtype=np.int64, order="C")
    bbox[:, 0::2] -= border
    bbox[:, 1::2] += border
    panel = table["panel"].astype(np.int64)
    group = table["imageset_id"].astype(np.int64) * (int(panel.max()) + 1) + panel
    # Boxes that overlap have a tile of the panel in common; those of the usual size are on one to four.
    size = max(2 * int(np.median(bbox[:, (1, 3)] - bbox[:, (0, 2)])), 8)
    low = bbox[:, (0, 2)] // size
    across = np.maximum((bbox[:, (1, 3)] - 1) // size - low, 0) + 1
    large = np.prod(across.astype(np.float64), axis=1) > MOST_TILES
    n_tiles = np.where(large, 0, across[:, 0] * across[:, 1])
    row = np.repeat(np.arange(len(table)), n_tiles)
    number = np.arange(len(row)) - np.repeat(np.cumsum(n_tiles) - n_tiles, n_tiles)
    x, y = low[row, 0] + number // across[row, 1], low[row, 1] + number % across[row, 1]
    tile = np.column_stack([group[row], x, y])
    order = np.lexsort((bbox[row, 4], *tile.T))
    row, tile = row[order], tile[order]
    place = np.cumsum(np.any(np.diff(tile, axis=0, prepend=tile[:1]) != 0, axis=1))
    # An interrupt is seen between two calls: where many boxes have a tile in common each call takes long.
    for first in range(0, len(row), BLOCK):
        overlapping_boxes(row, first, first + BLOCK, place, bbox, result)
    rows = np.flatnonzero(large)
    for first in range(0, len(rows), BLOCK):
        overlapping_large(rows[first : first + BLOCK], group, bbox, result)
    return result


def estimate_max_cell(table: ReflectionTable, params: Any) -> float:
    """Longest primitive cell edge from nearest neighbours in reciprocal space.

    Parameters
    ----------
    table : ReflectionTable
        Columns rlp, entering, imageset_id, xyzobs.mm.value, and bbox and panel for the overlap filter.
    params : Params
        The scope ``max_cell_estimation``, see `spindle_lib_spots.params.MaxCellParams`.

    Returns
    -------
    float, angstrom

    Raises
    ------
    IndexingError
        If too few spots are left.

    Notes
    -----
    Neighbours are looked for among spots that entered or left the Ewald sphere within the same ``step_size`` of
    rotation. The histogram of 1 / distance is followed up to its last slot that is at least ``max_height_fraction``
    of its highest.
    """
    keep = np.ones(len(table), dtype=bool)
    if params.filter_overlaps and "bbox" in table:
        keep &= ~overlaps_another(table, params.overlaps_border or 0)
    if params.filter_ice:
        keep &= ~on_ice_ring(table["rlp"])
    if len(table) <= FEWEST:
        raise IndexingError(f"{len(table)} spots are too few to index; find more, or look whether the images are blank")
    if not keep.any():
        raise IndexingError(
            f"none of {len(table)} spots is left to estimate the largest cell edge from (all overlap or lie on ice rings). Give "
            "max_cell=, or switch off max_cell_estimation.filter_overlaps and filter_ice"
        )
    direct = np.sort(_neighbour_distances(table.select(keep), float(params.step_size or 360.0)))
    direct = direct[direct > 1.0]
    if len(direct) <= FEWEST:
        raise IndexingError(
            f"only {len(direct)} distances between neighbouring spots, too few to estimate the largest "
            "cell edge. "
            "Give max_cell=, or find more spots"
        )
    return float(params.multiplier * _longest(direct, params))


def _longest(direct: np.ndarray, params: Any) -> float:
    percentile = params.nearest_neighbor_percentile
    if percentile is not None:
        return float(direct[min(int(percentile * len(direct)), len(direct) - 1)])
    direct = direct[: int(np.floor(0.99 * len(direct)))]
    if not direct[-1] - direct[0] > 1e-6 * direct[0]:  # no range to cut into slots
        return float(direct[-1])
    n_slots = max(len(direct) // int(params.nn_per_bin or 5), 1)
    if params.histogram_binning == "log":
        low, high = np.log10(direct[0]), np.log10(direct[-1])
        edges = 10 ** np.linspace(low, high, n_slots + 1)
    else:
        edges = np.linspace(direct[0], direct[-1], n_slots + 1)
    counts, _ = np.histogram(direct, edges)
    frequency = counts / np.diff(edges)
    return float(edges[1 + np.flatnonzero(frequency > params.max_height_fraction * frequency.max())[-1]])


def _neighbour_distances(table: ReflectionTable, step_deg: float) -> np.ndarray:
    """1 / distance of the nearest neighbour of every spot, angstrom."""
    from scipy.spatial import cKDTree

    rlp, entering = table["rlp"], np.asarray(table["entering"], dtype=bool)
    phi = np.degrees(table["xyzobs.mm.value"][:, 2])
    direct = []
    for sweep in np.unique(table["imageset_id"]):
        here = table["imageset_id"] == sweep
        start = phi[here].min()
        n_steps = max(int(np.ceil((phi[here].max() - start) / step_deg)), 1)
        for step in range(n_steps):
            inside = here & (phi >= start + step * step_deg) & (phi < start + (step + 1) * step_deg)
            for flag in (False, True):
                points = rlp[inside & (entering == flag)]
                if len(points) < 2:
                    continue
                distance, _ = cKDTree(points).query(points, k=2)
                # spots at one place are not neighbours in a lattice
                direct.append(1.0 / distance[distance[:, 1] > 1e-6, 1])
    return np.concatenate(direct) if direct else np.empty(0)
