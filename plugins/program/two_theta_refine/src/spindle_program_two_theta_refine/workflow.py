"""From experiments and reflections to cells with standard deviations."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from spindle.contracts import ProgramInputs, ProgramResult
from spindle.errors import UserError
from spindle.models import Crystal, Experiments
from spindle.symmetry import ChangeOfBasis, change_crystal_basis, primitive_operator
from spindle.table import ReflectionTable
from spindle_lib_refinement.metric import (
    CELL_NAMES,
    cell_and_slope,
    index_products,
    metric_constraints,
    metric_elements,
)
from spindle_lib_selection.parts import join

from .fit import MetricFit, UndeterminedCell, calculated_two_theta, fit_metric
from .selection import observed_two_theta, select
from .spread import mean_of_crystals

if TYPE_CHECKING:
    from spindle.execution import RunContext

__all__ = ["CellResult", "refine_cells"]

FEW = 30  # reflections; standard deviations from fewer are rough
DIFFERENT = 0.05, 5.0  # relative difference of edges, and degrees: cells that are no measurements of one


@dataclass(frozen=True)
class CellResult:
    """The refined cell of one lattice.

    Attributes
    ----------
    crystal : Crystal
        The model that the refinement started from, in the basis that was refined.
    experiments : list of int
        Which experiments it is the crystal of.
    names : list of str
        Of the refined elements of the metric.
    values, sd : (7,) float64
        a, b, c (angstrom), alpha, beta, gamma (degrees) and volume with their standard deviations.
    own_values, own_sd : (7,) float64
        The same in the basis of the experiments' crystals.
    fit : MetricFit
    hkl : (n, 3) int32
        In the basis that was refined.
    two_theta : (n,) float64, radians
        Observed.
    ids : (n,) int32
        Experiments of the reflections.
    differ : (7,) float64 or None
        Standard deviations of single crystals about the mean, where there are several.
    """

    crystal: Crystal
    experiments: list[int]
    names: list[str]
    values: np.ndarray
    sd: np.ndarray
    own_values: np.ndarray
    own_sd: np.ndarray
    fit: MetricFit
    hkl: np.ndarray
    two_theta: np.ndarray
    ids: np.ndarray
    differ: np.ndarray | None = None


def refine_cells(inputs: ProgramInputs, params: Any, context: RunContext) -> ProgramResult:
    """Refine as the parameters say; see the program."""
    from .outputs import check_outputs, files_of, report

    experiments, table = _checked(inputs)
    groups = _lattices(experiments, params.refinement.combine_crystal_models, context.log)
    check_outputs(params.output, len(groups))
    table = select(experiments, table, params.refinement, context.log)
    rows_of = table.rows_by_experiment()
    none = np.zeros(0, np.int64)
    results = []
    for members in groups:
        rows = np.sort(np.concatenate([rows_of.get(i, none) for i in members]))
        results.append(_refine(experiments, members, table.select(rows), params.refinement.triclinic))
    _warn(results, context.log)
    report(results, context)
    refined = Experiments(
        replace(e, crystal=crystal) for e, crystal in zip(experiments, _recalculated(experiments, results), strict=True)
    )
    summary = {
        "cells": [[round(float(v), 6) for v in r.values[:6]] for r in results],
        "cell_esds": [[round(float(v), 6) for v in r.sd[:6]] for r in results],
        "volumes": [round(float(r.values[6]), 4) for r in results],
        "n_reflections": sum(len(r.hkl) for r in results),
        "rmsd_2theta_deg": [round(float(np.rad2deg(r.fit.rmsds[-1])), 7) for r in results],
    }
    return ProgramResult(
        experiments=refined, summary=summary, files=files_of(results, experiments, params.output),
        next_step=_next_step(table, params),
    )  # fmt: skip


def _next_step(table: ReflectionTable, params: Any) -> str:
    """Scaled data may go into files with the standard deviations of the cell."""
    if "intensity.scale.value" in table:
        return f"spindle export {params.output.experiments} scaled.refl format=shelx"
    return f"spindle show {params.output.experiments}"


def _checked(inputs: ProgramInputs) -> tuple[Experiments, ReflectionTable]:
    """Experiments with crystals, and their reflections in one table whose ids count the experiments."""
    experiments = inputs.experiments
    if not experiments or not inputs.reflections:
        raise UserError(
            "two_theta_refine: give experiments and their indexed reflections, e.g. spindle two_theta_refine integrated.expt integrated.refl"
        )
    without = [i for i, e in enumerate(experiments) if e.crystal is None]
    if without:
        raise UserError(f"two_theta_refine: experiment {without[0]} has no crystal; run spindle index first")
    table = join(inputs.reflections)
    assert table is not None
    return experiments, table


def _lattices(experiments: Experiments, together: bool, log: logging.Logger) -> list[list[int]]:
    """Positions of the experiments that get one cell."""
    groups: dict[int, list[int]] = {}
    for number, experiment in enumerate(experiments):
        groups.setdefault(id(experiment.crystal), []).append(number)
    if not together or len(groups) == 1:
        return list(groups.values())
    first = experiments[0].known_crystal
    for number, *_ in groups.values():
        crystal = experiments[number].known_crystal
        edges, angles = np.abs(crystal.cell[:3] / first.cell[:3] - 1.0), np.abs(crystal.cell[3:] - first.cell[3:])
        if crystal.hall != first.hall or edges.max() > DIFFERENT[0] or angles.max() > DIFFERENT[1]:
            raise UserError(
                f"two_theta_refine: experiment 0 has the cell {_text(first)}, experiment {number} {_text(crystal)}: these are not one "
                "cell; index or reindex them alike, or refine each by itself with combine_crystal_models=False"
            )
    log.info("Refining the mean cell of the %d crystals of %d experiments", len(groups), len(experiments))
    return [list(range(len(experiments)))]


def _text(crystal: Crystal) -> str:
    return f"{' '.join(f'{v:.4g}' for v in crystal.cell)} ({crystal.space_group.xhm()})"


def _refine(experiments: Experiments, members: list[int], table: ReflectionTable, triclinic: bool) -> CellResult:
    """Refine the cell of the experiments `members`, which share a lattice, against their reflections."""
    crystal = experiments[members[0]].known_crystal
    operator = ChangeOfBasis.identity()
    if triclinic:
        operator = primitive_operator(crystal.space_group)
        crystal = change_crystal_basis(crystal, operator, "P 1")
    hkl, integral = operator.apply_to_indices(
        table["miller_index"]
    )  # absences of the centring have no index in the primitive cell
    hkl, table = hkl[integral], table.select(integral)
    two_theta, wavelength = observed_two_theta(experiments, table)
    E, chosen = metric_constraints(crystal.hall)
    start = np.linalg.lstsq(E, metric_elements(crystal.A), rcond=None)[0]
    seen = np.isfinite(calculated_two_theta(index_products(hkl), E @ start, wavelength))
    hkl, two_theta, wavelength, ids = hkl[seen], two_theta[seen], wavelength[seen], table["id"][seen]
    which = f"experiment {members[0]}" + (f" and {len(members) - 1} more" if len(members) > 1 else "")
    try:
        fit = fit_metric(hkl, two_theta, wavelength, E, start)
        first = {id(experiments[i].crystal): i for i in reversed(members)}
        lattice = np.array([first.get(id(e.crystal), -1) for e in experiments])
        fit, spread = mean_of_crystals(fit, hkl, wavelength, E, lattice[ids])
        values, sd = _with_sd(E @ fit.values, E @ fit.covariance @ E.T)
    except UndeterminedCell as error:
        raise UserError(
            f"two_theta_refine: the cell of {which} cannot be refined: {error} (the cell has {len(chosen)} free parameters, there are "
            f"{len(hkl)} reflections); give more reflections, or leave the symmetry on"
        ) from error
    except ValueError as error:
        raise UserError(
            f"two_theta_refine: the cell of {which} ran away: {error}; index the reflections again"
        ) from error
    # In the basis of the experiments h' = M h, so that their metric is M^T G M.
    back = np.array([_quadratic(operator.matrix, k) for k in range(6)]).T
    own_values, own_sd = _with_sd(back @ E @ fit.values, back @ E @ fit.covariance @ E.T @ back.T)
    names = [CELL_NAMES[k] for k in chosen]
    differ = None if spread is None else _with_sd(E @ fit.values, E @ spread.covariance @ E.T)[1]
    return CellResult(crystal, members, names, values, sd, own_values, own_sd, fit, hkl, two_theta, ids, differ)


def _quadratic(matrix: np.ndarray, k: int) -> np.ndarray:
    """(6,) elements of M^T G M for the metric G whose k-th element is 1 and whose others are 0."""
    G = np.zeros((3, 3))
    i, j = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))[k]
    G[i, j] = G[j, i] = 1.0
    moved = matrix.T @ G @ matrix
    return np.asarray(moved[[0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]])


def _with_sd(metric: np.ndarray, covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cell and volume (7,) of a metric, and their standard deviations; 0 for what symmetry fixes."""
    values, slope = cell_and_slope(metric)
    sd = np.sqrt(np.maximum(np.diag(slope @ covariance @ slope.T), 0.0))
    sd[sd < 1e-9 * np.abs(values)] = 0.0
    return values, sd


def _recalculated(experiments: Experiments, results: list[CellResult]) -> list[Crystal]:
    """The crystals of all experiments with their recalculated cell; shared ones stay shared."""
    made: dict[int, Crystal] = {}
    for result in results:
        more = {
            "recalculated_unit_cell": result.own_values[:6].tolist(),
            "recalculated_cell_volume_sd": float(result.own_sd[6]),
        }
        for number in result.experiments:
            crystal = experiments[number].known_crystal
            if id(crystal) not in made:
                made[id(crystal)] = replace(crystal, cell_sd=result.own_sd[:6], extra=crystal.extra | more)
    return [made[id(e.crystal)] for e in experiments]


def _warn(results: list[CellResult], log: logging.Logger) -> None:
    for number, result in enumerate(results):
        if result.differ is not None:
            edges = ", ".join(f"{name} {sd:.2g}" for name, sd in zip(("a", "b", "c"), result.differ[:3], strict=True))
            log.info(
                "Cells of single crystals differ by standard deviations of %s A, which the errors of their mean hold",
                edges,
            )
        if len(result.hkl) < FEW:
            log.warning(
                "The cell%s rests on %d reflections: its standard deviations are rough%s",
                "" if len(results) == 1 else f" of crystal {number}", len(result.hkl),
                "; refinement.filter_integrated_centroids=False takes those that are not strong, too" if number == 0 else "",
            )  # fmt: skip
