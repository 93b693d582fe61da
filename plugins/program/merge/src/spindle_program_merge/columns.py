"""Columns that merged files have when they are asked for."""

from __future__ import annotations

from typing import Any

import numpy as np

from spindle_lib_merging import group_equivalents, merge_random_halves


def half_columns(
    hkl: np.ndarray, intensity: np.ndarray, variance: np.ndarray, group: Any, suffix: str
) -> list[tuple[str, str, np.ndarray]]:
    """N, and IHALFi SIGIHALFi NHALFi of two random half data sets: (label, MTZ type, values)."""
    groups = group_equivalents(hkl, group)
    mean, sigma, count = merge_random_halves(groups, intensity, variance)
    columns = [("N", "I", groups.multiplicity.astype(np.float64))]
    for i in range(2):
        columns += [
            (f"IHALF{i + 1}", "J", mean[i]),
            (f"SIGIHALF{i + 1}", "Q", sigma[i]),
            (f"NHALF{i + 1}", "I", count[i].astype(np.float64)),
        ]
    return [(label + suffix, kind, values) for label, kind, values in columns]
