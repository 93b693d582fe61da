"""Merged, normalised intensities of each data set, in the indexing that all share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gemmi
import numpy as np

from spindle.errors import UserError
from spindle.models import Experiments
from spindle.symmetry import laue_group_ops, orthogonalisation, unique_indices
from spindle.table import ReflectionTable
from spindle_lib_image_ranges import excluded_images, on_excluded_images
from spindle_lib_merging.intensities import is_scaled, prepare_intensities
from spindle_lib_symmetry_analysis import normalisation
from spindle_lib_symmetry_analysis.alignment import Observed, observed, orbit_keys
from spindle_lib_symmetry_analysis.prepare import SIGMA_FLOOR, normalise, resolution_of_analysis

__all__ = ["ComparedSets", "compared_sets"]


@dataclass(slots=True)
class ComparedSets:
    """What is compared.

    Attributes
    ----------
    names : list of int
        Places of the experiments.
    left_out : dict of int to str
        Why others are not used.
    observed : list of Observed
    rotations : list of (3, 3) int64
        Of the Laue group.
    group : gemmi.SpaceGroup
    cells : (n, 6) float64, angstrom and degrees
    keys : list of (m,) int64
        Numbers of the unique reflections of each set.
    counts : list of int
        Observations of each.
    n_possible : int
        Unique reflections that there are to the resolution limit.
    d_min : float, angstrom
    """

    names: list[int]
    left_out: dict[int, str]
    observed: list[Observed]
    rotations: list[np.ndarray]
    group: gemmi.SpaceGroup
    cells: np.ndarray
    keys: list[np.ndarray]
    counts: list[int]
    n_possible: int
    d_min: float


def compared_sets(experiments: Experiments, table: ReflectionTable, params: Any, context: Any) -> ComparedSets:
    """Filter, cut and normalise the sets; see `ComparedSets`.

    Raises
    ------
    UserError
        If crystals have no or several space groups, or fewer than two sets are left.
    """
    group = _common_group(experiments)
    cells = np.array([e.known_crystal.cell for e in experiments])
    ranges = excluded_images(params.exclude_images, len(experiments))
    out = on_excluded_images(table, ranges, "xyzcal.px")
    data = prepare_intensities(
        table.select(~out) if out.any() else table, "auto", partiality_threshold=params.partiality_threshold
    )
    context.log.info("%d reflections with %s intensities", len(data), data.kind)
    for reason, n in data.dropped.items():
        context.log.info("  %d left out: %s", n, reason)
    rows, kind = data.table, data.best
    ids, hkl, d = rows["id"].astype(np.int64), rows["miller_index"], rows["d"]
    value, variance = data.values[kind], data.variances[kind]
    if not (
        is_scaled(table) and kind == "scale"
    ):  # sigmas of unscaled data know nothing of errors between observations
        variance = 4.0 * (variance + (SIGMA_FLOOR * value) ** 2)
    d_min = resolution_of_analysis(hkl, value, variance, d, params, context.log) if len(d) else 0.0
    basis = orthogonalisation(cells.mean(axis=0)).T
    scaled, sigma, _ = normalise(ids, hkl, value, variance, basis, params, context.log)
    use = (d >= d_min - 1e-6) & (np.abs(scaled) < normalisation.WILSON_OUTLIER)
    context.log.info("High resolution limit of the analysis: %.2f A (%d observations)", d_min, np.count_nonzero(use))
    rotations = [np.asarray(r, dtype=np.int64) for r in laue_group_ops(group, proper=True)]
    names, left_out, sets, keys, counts = [], {}, [], [], []
    for i in range(len(experiments)):
        mine = np.flatnonzero(use & (ids == i))
        unique = np.unique(orbit_keys(hkl[mine], rotations)) if len(mine) else np.zeros(0, np.int64)
        if len(unique) < max(params.min_reflections or 0, 1):
            left_out[i] = f"{len(unique)} unique reflections, fewer than min_reflections={params.min_reflections}"
            context.log.warning("Data set %d is left out: %s", i, left_out[i])
            continue
        names.append(i)
        sets.append(observed(hkl[mine], scaled[mine], sigma[mine]))
        keys.append(unique)
        counts.append(len(mine))
    if len(names) < 2:
        raise UserError(
            f"correlation_matrix: {len(names)} of {len(experiments)} data sets can be compared; two are needed. Give more sets, or "
            "set min_reflections= and d_min=None"
        )
    last = float(d[use].max())
    possible = unique_indices(cells[names].mean(axis=0), group, max(d_min, float(d[use].min())) - 1e-6, last + 1e-6)
    return ComparedSets(
        names, left_out, sets, rotations, group, cells[names], keys, counts, max(len(possible), 1), d_min
    )


def _common_group(experiments: Experiments) -> gemmi.SpaceGroup:
    groups: dict[str, int] = {}
    for i, experiment in enumerate(experiments):
        if experiment.crystal is None:
            raise UserError(f"correlation_matrix: experiment {i} has no crystal; run spindle index and integrate first")
        groups.setdefault(experiment.crystal.space_group.xhm(), i)
    if len(groups) > 1:
        (first, i), (other, k) = list(groups.items())[:2]
        raise UserError(
            f"correlation_matrix: experiment {i} is in {first}, experiment {k} in {other}; spindle cosym brings all to one group "
            "and one indexing"
        )
    return experiments[0].known_crystal.space_group
