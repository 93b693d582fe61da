"""Division of reflections into groups for the search for outliers."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from spindle.models import Experiments
from spindle.params import Auto

from .target import Observations

BLOCK_DEG = 18.0
#: So many reflections along the scan tell where the beam is, and in so many places at most.
NEIGHBOURS, MOST_PLACES = 30, 1000


def outlier_groups(
    experiments: Experiments,
    observations: Observations,
    scope: Any,
    stills: bool,
    analysis_block_deg: Callable[[int], float],
) -> list[np.ndarray]:
    """Index arrays of the groups of reflections whose residuals are looked at together.

    Parameters
    ----------
    scope : Params
        ``refinement.reflections.outlier``.
    analysis_block_deg : callable
        Width of the blocks of the centroid analysis of an experiment, for ``block_width=Auto``.

    """
    groups = [np.arange(len(observations))]
    if scope.separate_experiments:
        groups = _split(groups, observations.experiment)
    if scope.separate_panels:
        groups = _split(groups, observations.panel)
    if stills or not (scope.separate_blocks or scope.separate_images):
        return groups
    if scope.separate_images:
        return _split(groups, np.floor(observations.z).astype(np.int64))
    block = np.zeros(len(observations), dtype=np.int64)
    for i, experiment in enumerate(experiments):
        own = observations.experiment == i
        scan = experiment.known_scan
        extent = abs(scan.oscillation_deg[1]) * scan.n_images
        width = scope.block_width
        if width is Auto or width is None:
            width = max(analysis_block_deg(i), BLOCK_DEG)
        n = max(int(np.floor(extent / width + 0.5)), 1)
        z0, z1 = scan.array_range
        block[own] = np.clip(((observations.z[own] - z0) / (z1 - z0) * n).astype(np.int64), 0, n - 1)
    return _split(groups, block)


def _split(groups: list[np.ndarray], label: np.ndarray) -> list[np.ndarray]:
    out = []
    for group in groups:
        own = label[group]
        order = np.argsort(own, kind="stable")
        edges = np.flatnonzero(np.diff(own[order])) + 1
        out += [group[part] for part in np.split(order, edges) if len(part)]
    return out


def find_outliers(
    algorithm: Any,
    experiments: Experiments,
    observations: Observations,
    residuals: np.ndarray,
    groups: list[np.ndarray],
    scope: Any,
    stills: bool,
    n_threads: int,
    leniency: float,
) -> tuple[np.ndarray, int]:
    """(n,) bool: outliers by the chosen algorithm; and the number of groups rejected because they are too small."""
    names = ["x_resid", "y_resid"] if stills else ["x_resid", "y_resid", "phi_resid"]
    data = residuals[:, : len(names)]
    outliers = np.zeros(len(observations), dtype=bool)
    fewest = scope.minimum_number_of_reflections or 0
    small = 0

    def look(group: np.ndarray) -> np.ndarray:
        first = group[0]
        size = experiments[int(observations.experiment[first])].detector[int(observations.panel[first])].pixel_size
        return np.asarray(
            algorithm.find_outliers(
                residuals=np.ascontiguousarray(data[group]), names=names, pixel_size=size, leniency=leniency
            )
        )

    large = [g for g in groups if len(g) >= max(fewest, 1)]
    for group in groups:
        if len(group) < fewest:
            outliers[group] = True
            small += 1
    if n_threads > 1 and len(large) > 1:
        with ThreadPoolExecutor(n_threads) as pool:
            found = list(pool.map(look, large))
    else:
        found = [look(group) for group in large]
    for group, flags in zip(large, found, strict=True):
        outliers[group] = flags
    return outliers, small


def with_borrowed_angles(residuals: np.ndarray, groups: list[np.ndarray], cut: np.ndarray) -> np.ndarray:
    """Residuals (n, 3) whose angles of spots that are cut are those of others in their group, of which none would be an outlier for being cut."""
    if not cut.any():
        return residuals
    out = residuals.copy()
    for group in groups:
        whole, own = group[~cut[group]], group[cut[group]]
        if len(whole):
            out[own, 2] = np.resize(residuals[whole, 2], len(own))
    return out


def without_drift(observations: Observations, residuals: np.ndarray) -> np.ndarray:
    """Residuals (n, 3) whose x and y are taken from the median of their neighbours along the scan.

    Where a beam drifts, residuals of constant models have no bulk that others would be far from.
    """
    moved = residuals.copy()
    for experiment in np.unique(observations.experiment):
        rows = np.flatnonzero(observations.experiment == experiment)
        rows = rows[np.argsort(observations.z[rows], kind="stable")]
        windows = np.array_split(rows, min(max(len(rows) // NEIGHBOURS, 1), MOST_PLACES))
        z = np.array([np.median(observations.z[window]) for window in windows])
        for column in range(2):
            median = [np.median(residuals[window, column]) for window in windows]
            moved[rows, column] -= np.interp(observations.z[rows], z, median)
    return moved
