"""Where the intensities of an experiment end: the first shell whose mean I / sigma is too low."""

from __future__ import annotations

from typing import Any

import numpy as np

from spindle.report import Table
from spindle.table import ReflectionTable

__all__ = ["significance"]


def significance(table: ReflectionTable, params: Any, d: np.ndarray | None = None) -> tuple[np.ndarray, list[Table]]:
    """Cut each experiment where the mean of positive I / sigma of a bin falls below the cutoff.

    Parameters
    ----------
    table : ReflectionTable
        With summed intensities.
    params : Params
        `d_min` (angstrom or None), `n_bins` and `isigi_cutoff`.
    d : (n,) float64, angstrom, optional
        By default the column `d`.

    Returns
    -------
    keep : (n,) bool
    tables : list of Table
    """
    keep = np.zeros(len(table), bool)
    tables = []
    d_all = table["d"] if d is None else d
    n_bins = params.n_bins or 20
    cutoff = params.isigi_cutoff if params.isigi_cutoff is not None else 1.0
    value, variance = table["intensity.sum.value"], table["intensity.sum.variance"]
    for i, rows in table.rows_by_experiment().items():
        d = d_all[rows]
        high = d.min() if params.d_min is None else params.d_min
        edges = np.linspace(1.0 / d.max() ** 3, 1.0 / high**3, n_bins + 1)
        limits = np.cbrt(1.0 / np.maximum(edges, 1e-30))
        where = np.clip(np.searchsorted(edges, 1.0 / d**3, "right") - 1, 0, n_bins)
        limit = np.inf
        content = []
        passing = True
        for b in range(n_bins):
            mine = rows[(where == b) | ((b == n_bins - 1) & (1.0 / d**3 == edges[-1]))]
            good = mine[(value[mine] > 0) & (variance[mine] > 0)]
            ratio = float(np.mean(value[good] / np.sqrt(variance[good]))) if len(good) else 0.0
            passing = passing and ratio >= cutoff
            if passing:
                limit = float(limits[b + 1])
            content.append(
                [
                    b + 1,
                    f"{limits[b]:.3f}-{limits[b + 1]:.3f}",
                    len(mine),
                    float(np.mean(value[good])) if len(good) else 0.0,
                    ratio,
                    "X" if passing else "",
                ]
            )
        tables.append(
            Table(
                f"Significance filter for experiment {i}",
                ["Bin", "Resolution range", "N", "<I>", "<I/sigI>", "Kept"],
                content,
                f"significance_{i}",
            )
        )
        keep[rows] = d >= limit * (1 - 1e-9)
    return keep, tables
