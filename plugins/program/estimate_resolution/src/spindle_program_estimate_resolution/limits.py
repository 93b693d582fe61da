"""Statistics of shells, and the limit of every metric that is asked for."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from spindle.errors import UserError
from spindle_lib_merging import (
    METRICS,
    Groups,
    Merged,
    ResolutionCurve,
    Unmerged,
    correlation,
    group_equivalents,
    half_means,
    merge_groups,
    merging_statistics,
    pack_indices,
    resolution_curve,
    resolution_of,
    resolution_shells,
    shell_numbers,
)
from spindle_lib_merging.correlations import sigma_tau

__all__ = ["estimate", "shell_edges", "without_wilson_outliers"]


def without_wilson_outliers(data: Unmerged, emax: float) -> tuple[Unmerged, int]:
    """Observations with E^2 below emax^2, E^2 by the mean of I / epsilon in shells of equal width in 1/d^2; and how many were not."""
    groups = group_equivalents(data.hkl, data.group)
    x = resolution_of(data.hkl, data.cell) ** -2.0
    n = 20 if len(x) > 20000 else 15 if len(x) > 15000 else 10
    shell = np.clip(((x - x.min()) / max(float(np.ptp(x)), 1e-12) * n).astype(int), 0, n - 1)
    value = np.maximum(data.intensity, 0.0) / groups.epsilon[groups.index]
    mean = np.bincount(shell, value, n) / np.maximum(np.bincount(shell, minlength=n), 1)
    good = value < emax**2 * np.maximum(mean[shell], 1e-300)
    good |= value == 0
    return data.select(np.flatnonzero(good)), int((~good).sum())


def shell_edges(d: np.ndarray, n_bins: int, per_bin: int, method: str) -> np.ndarray:
    """Edges in angstrom, from low to high resolution, of at most `n_bins` shells of unique reflections (n,)."""
    n = int(max(1, min(n_bins, len(d) // max(per_bin, 1))))
    if method == "volume":
        return resolution_shells(d, n)
    ordered = np.sort(d)[::-1]
    edges = ordered[np.minimum((np.arange(n + 1) * len(ordered)) // n, len(ordered) - 1)]
    edges[0] *= 1 + 1e-6
    edges[-1] = ordered[-1] * (1 - 1e-6)
    return np.unique(edges)[::-1]


def estimate(
    data: Unmerged, params: Any, reference: tuple[np.ndarray, np.ndarray] | None
) -> tuple[list[ResolutionCurve], Any]:
    """Curves of all metrics with a limit, and the statistics of the shells.

    Raises
    ------
    UserError
        If there are too few reflections.
    """
    groups = group_equivalents(data.hkl, data.group, params.anomalous)
    merged = merge_groups(groups, data.intensity, data.variance)
    d = resolution_of(merged.hkl, data.cell)
    if len(d) < 2 * max(params.reflections_per_bin, 1):
        raise UserError(
            f"estimate_resolution: {len(d)} unique reflections are too few for two shells of {params.reflections_per_bin}; lower "
            "resolution.reflections_per_bin"
        )
    edges = shell_edges(d, params.nbins, params.reflections_per_bin, params.binning_method)
    statistics = merging_statistics(
        data.hkl, data.intensity, data.variance, data.cell, data.group, len(edges) - 1, edges=edges
    )
    shells = statistics.shells
    number = np.clip(shell_numbers(d, edges), 0, len(edges) - 2)
    found = []
    for name, metric in METRICS.items():
        limit = getattr(params, name)
        if not limit:
            continue
        values, form, numbers = None, None, None
        if name == "cc_half":
            form = params.cc_half_fit
            if params.anomalous:
                values, numbers = _cc_half_apart(data, groups, merged, number, len(shells), params.cc_half_method)
            elif params.cc_half_method == "sigma_tau":
                values = np.array([s.cc_half_sigma_tau for s in shells])
        elif name == "misigma" and params.anomalous:
            ratio = np.bincount(number, merged.intensity / merged.sigma, len(shells))
            values = ratio / np.bincount(number, minlength=len(shells))
        elif name == "i_mean_over_sigma_mean":
            values = _mean_over_mean(merged.intensity, merged.sigma, number, len(shells))
        elif name == "rmerge" and params.anomalous:
            values = np.array([s.r_merge_anomalous for s in shells])
        elif name == "completeness" and params.anomalous:
            values = np.array([s.anomalous_completeness for s in shells])
        elif name == "cc_ref":
            if reference is None:
                continue
            values, numbers = _with_reference(merged.hkl, merged.intensity, number, len(shells), reference)
        found.append(resolution_curve(metric, limit, statistics, values, form, numbers))
    return found, statistics


def _cc_half_apart(
    data: Unmerged, groups: Groups, merged: Merged, shell: np.ndarray, n: int, method: str
) -> tuple[np.ndarray, np.ndarray]:
    """CC1/2 in each of n shells of reflections whose Friedel mates are others, and how many reflections it is of."""
    first, second = half_means(groups, data.intensity, data.variance)
    both = np.isfinite(first) & np.isfinite(second)
    counts = np.bincount(shell[both], minlength=n).astype(float)
    if method == "sigma_tau":
        parts = (Merged(*(getattr(merged, f.name)[shell == i] for f in fields(Merged))) for i in range(n))
        return np.array([sigma_tau(part) for part in parts]), counts
    return np.array([correlation(first[r], second[r]) for r in (both & (shell == i) for i in range(n))]), counts


def _mean_over_mean(intensity: np.ndarray, sigma: np.ndarray, shell: np.ndarray, n: int) -> np.ndarray:
    bottom = np.bincount(shell, sigma, n)
    return np.divide(np.bincount(shell, intensity, n), bottom, out=np.full(n, np.nan), where=bottom > 0)


def _with_reference(
    hkl: np.ndarray, intensity: np.ndarray, shell: np.ndarray, n: int, reference: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Correlation with the reference in each shell, and the number of common reflections."""
    keys = pack_indices(reference[0])
    order = np.argsort(keys)
    wanted = pack_indices(np.where((pack_indices(hkl) < 0)[:, None], -hkl, hkl))
    place = np.minimum(np.searchsorted(keys[order], wanted), len(keys) - 1)
    common = keys[order[place]] == wanted
    if not common.any():
        raise UserError(
            "resolution.reference: has no reflection in common with the data; is it of the same cell and setting?"
        )
    x, y, which = intensity[common], reference[1][order[place[common]]], shell[common]
    values = np.array([correlation(x[which == i], y[which == i]) for i in range(n)])
    return values, np.bincount(which, minlength=n).astype(float)
