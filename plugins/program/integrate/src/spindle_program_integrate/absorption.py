"""Absorption by what holds the crystal: factors of the chosen corrections, applied to intensities."""

from __future__ import annotations

from typing import Any

import numpy as np

from spindle.contracts.absorption import AbsorptionFactors
from spindle.models import Experiments
from spindle.table import ReflectionTable

from .slabs import GEOMETRY

#: What a correction is told of reflections.
NEEDED = (*GEOMETRY, "miller_index", "xyzcal.mm", "bbox")
ROWS = 2**16  # at once: the pixels of their spots are in memory


def correct_absorption(
    table: ReflectionTable, experiments: Experiments, scopes: list[Any], profile: Any, context: Any
) -> ReflectionTable:
    """The table with intensities divided by the transmissions, where corrections are asked for.

    Parameters
    ----------
    table : ReflectionTable
        Integrated.
    experiments : Experiments
    scopes : list of Params
        The scopes ``absorption_correction``, applied one after the other.
    profile : Handle
        The profile plugin, which tells the pixels of a spot.
    context : RunContext

    Returns
    -------
    ReflectionTable
        With the columns ``absorption_correction`` and ``absorption_correction.sigma``.
    """
    scopes = [scope for scope in scopes if scope.apply]
    if not scopes:
        return table
    total = AbsorptionFactors(np.ones(len(table)), np.zeros(len(table)))
    for scope in scopes:
        plugin = context.chosen(scope)
        seen = ReflectionTable({name: table[name] for name in NEEDED})
        factor, sigma = np.ones(len(table)), np.zeros(len(table))
        for i, all_rows in seen.rows_by_experiment().items():
            for start in range(0, len(all_rows), ROWS):
                rows = all_rows[start : start + ROWS]
                part = seen.select(rows)
                masks = profile.foreground(experiments=experiments, reflections=part, bbox=part["bbox"])
                found = plugin.absorption_factors(experiment=experiments[i], reflections=part, foreground=masks)
                factor[rows], sigma[rows] = found.factor, found.sigma
        context.log.info(
            "Absorption corrected by %s: factors %.4f to %.4f, mean %.4f",
            scope.algorithm, *((factor.min(), factor.max(), factor.mean()) if len(factor) else (1.0, 1.0, 1.0)),
        )  # fmt: skip
        total = total * AbsorptionFactors(factor, sigma)
    table = table.view()
    for kind in ("sum", "prf"):
        if f"intensity.{kind}.value" in table:
            value, variance = table[f"intensity.{kind}.value"], table[f"intensity.{kind}.variance"]
            corrected = total.apply(value, variance)
            measured = variance > 0  # 0 and -1 where nothing was
            table[f"intensity.{kind}.value"] = np.where(measured, corrected[0], value)
            table[f"intensity.{kind}.variance"] = np.where(measured, corrected[1], variance)
    table["absorption_correction"], table["absorption_correction.sigma"] = total.factor, total.sigma
    return table
