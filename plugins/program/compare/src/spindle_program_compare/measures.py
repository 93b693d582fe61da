"""Key numbers of a contestant."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from spindle.errors import SpindleError
from spindle.table import INTEGRATED, Flag, ReflectionTable
from spindle_lib_merging import MergingStatistics, merging_statistics, prepare_intensities

from .contestant import Contestant, Stage
from .observations import Observations

__all__ = ["error_model", "key_numbers", "statistics_of", "statistics_on"]

STRONG_SIGNAL = 10.0


def key_numbers(contestant: Contestant, n_shells: int) -> dict[str, Any]:
    """What one row of the comparison says, None where it is not known."""
    said = contestant.numbers
    spots: dict[str, Any] = said.get("index", {})
    numbers: dict[str, Any] = {
        "n_spots": spots.get("n_spots", said.get("find_spots", {}).get("n_spots")),
        "n_indexed": spots.get("n_indexed"),
        "fraction_indexed": spots.get("fraction_indexed"),
        "rmsd_px": _rmsd(contestant),
        "n_integrated": None,
    }
    last = contestant.last
    crystals = [e.crystal for e in last.experiments if e.crystal is not None] if last is not None else []
    if crystals:
        numbers["space_group"] = crystals[0].space_group.xhm()
        numbers["cell"] = [round(float(v), 4) for v in crystals[0].cell]
    if contestant.integrated is not None:
        table = contestant.integrated.reflections
        numbers["n_integrated"] = int(np.count_nonzero(table.has_flags(INTEGRATED, all=False)))
    if contestant.scaled is not None:
        numbers |= error_model(contestant.scaled)
        statistics = None if contestant.merged else statistics_of(contestant, n_shells)
        if statistics is not None:
            numbers["merging"] = statistics.as_dict()
    for name in ("seconds", "cpu_seconds", "peak_memory_mb"):
        numbers[name] = contestant.cost(name)
    own = [c.cpu_seconds for c in contestant.costs if c.shared_by == 1]
    numbers["own_cpu_seconds"] = (
        None if any(v is None for v in own) or not own else float(sum(v for v in own if v is not None))
    )
    return numbers


def _rmsd(contestant: Contestant) -> list[float] | None:
    """Observed less predicted places (px, px, images): of strong reflections after integration, before it of the spots that refinement used.

    Spots and integrated reflections have their places from different pixels, so that all contestants take the same where they have it.
    """
    for name in ("integrated", "scaled", "refined", "indexed"):
        stage: Stage | None = getattr(contestant, name)
        if stage is None:
            continue
        table = stage.reflections
        if "xyzobs.px.value" not in table or "xyzcal.px" not in table:
            continue
        used = table.has_flags(Flag.USED_IN_REFINEMENT)
        if name in ("integrated", "scaled") or not used.any():
            used = _strong(table)
        difference = table["xyzcal.px"][used] - table["xyzobs.px.value"][used]
        difference = difference[np.isfinite(difference).all(axis=1)]
        if np.any(difference):  # files that tell one place have it twice
            return [float(v) for v in np.sqrt(np.mean(difference**2, axis=0))]
    return None


def _strong(table: ReflectionTable) -> np.ndarray:
    used = table.has_flags(Flag.INDEXED) & (table["id"] >= 0)
    for kind in ("prf", "sum"):
        value, variance = f"intensity.{kind}.value", f"intensity.{kind}.variance"
        if value in table and variance in table:
            signal = table[value] / np.sqrt(np.maximum(table[variance], 1e-12))
            return np.asarray((used if used.any() else np.ones(len(table), bool)) & (signal > STRONG_SIGNAL))
    return np.asarray(used)


#: A smaller product is a b of zero, up to rounding: no I / sigma is the largest.
LEAST_AB = 1e-6


def error_model(stage: Stage) -> dict[str, Any]:
    """a and b of sigma'^2 = a^2 (sigma^2 + (b I)^2), and the largest I / sigma that it allows, 1 / (a b)."""
    for experiment in stage.experiments:
        found = (experiment.scaling_model or {}).get("configuration_parameters", {}).get("error_model_parameters")
        if found is not None and len(found) >= 2:
            a, b = float(found[0]), float(found[1])
            return {"error_model_a": a, "error_model_b": b, "isa": 1.0 / (a * b) if a * b > LEAST_AB else None}
    return {"error_model_a": None, "error_model_b": None, "isa": None}


def statistics_of(contestant: Contestant, n_shells: int) -> MergingStatistics | None:
    """Merging statistics of all that it has scaled; None, with a note, where there is nothing to merge."""
    stage = contestant.scaled
    if stage is None:
        return None
    try:
        found = prepare_intensities(stage.reflections, "scale")
    except SpindleError as error:
        contestant.notes.append(f"no merging statistics: {error}")
        return None
    crystals = [e.crystal for e in stage.experiments if e.crystal is not None]
    cell = np.median([c.cell for c in crystals], axis=0)
    return merging_statistics(
        found.table["miller_index"],
        found.values["scale"],
        found.variances["scale"],
        cell,
        crystals[0].space_group,
        n_shells,
    )


def statistics_on(stage: Stage, found: Observations, rows: np.ndarray, edges: np.ndarray) -> MergingStatistics:
    """Merging statistics of some observations, in given shells."""
    crystals = [e.crystal for e in stage.experiments if e.crystal is not None]
    cell = np.median([c.cell for c in crystals], axis=0)
    return merging_statistics(
        found.hkl[rows], found.intensity[rows], found.sigma[rows] ** 2, cell, found.group, len(edges) - 1, edges=edges
    )


def finite(value: Any) -> Any:
    """A number, or None for what is none."""
    return value if value is not None and math.isfinite(value) else None
