"""From experiments and reflections to a page."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from spindle.contracts import ProgramInputs, ProgramResult
from spindle.errors import ParameterError, UserError
from spindle.models import Experiment, Experiments
from spindle.params import Auto
from spindle.report import Table

from .page import page_writer
from .points import INDEXED_BIT, INTEGRATED_BIT, Points, displaced, points_of, reversed_axis

if TYPE_CHECKING:
    from spindle.execution import RunContext

__all__ = ["make_page"]

WITHOUT = "#b4b4b4"
#: Seen on black and on white.
COLOURS = ("#4aa3df", "#e69f00", "#1fb48a", "#e0603a", "#cc79a7", "#b0a010", "#8f7ff0", "#a07850")
MOST_ROWS = 40
HEAVY = 3_000_000  # points that make a page of more than 130 MB


def make_page(inputs: ProgramInputs, params: Any, context: RunContext) -> ProgramResult:
    """Make the page as the parameters say; see the program."""
    experiments = _geometry(_checked(inputs), params)
    points = points_of(experiments, inputs.reflections)
    if params.crystal_frame:
        points = _aligned(experiments, points)
    _check_filters(points, params, context.log)
    meta = _meta(experiments, points, inputs, params)
    counts = _report(experiments, points, context)
    if len(points.z) > HEAVY:
        context.log.warning(
            "The page has %d points: it is large and slow to load; give fewer reflections, for example those of fewer images",
            len(points.z),
        )
    context.log.info("Open %s in a browser", params.output.html)
    files = {str(params.output.html): page_writer(meta, points)}
    return ProgramResult(files=files, summary=counts)


def _checked(inputs: ProgramInputs) -> Experiments:
    if not inputs.experiments or not inputs.reflections:
        raise UserError(
            "reciprocal_lattice_viewer: give experiments and their spots, e.g. spindle reciprocal_lattice_viewer imported.expt strong.refl"
        )
    return inputs.experiments


def _geometry(experiments: Experiments, params: Any) -> Experiments:
    """The experiments with the rotation and the beam centre that the parameters ask for; shared models stay shared."""
    if params.beam_centre is None and params.beam_centre_panel is not None:
        raise ParameterError("beam_centre_panel= says on which panel beam_centre= is; give that, too")
    for kind, wanted, change in (
        ("goniometer", bool(params.reverse_phi), reversed_axis),
        (
            "detector",
            params.beam_centre is not None,
            lambda e: displaced(e, params.beam_centre, params.beam_centre_panel),
        ),
    ):
        if wanted:
            for model in experiments.unique(kind):
                first = experiments[experiments.indices_with(kind, model)[0]]
                experiments = experiments.with_model(model, getattr(change(first), kind))
    return experiments


def _aligned(experiments: Experiments, points: Points) -> Points:
    """The points with each lattice in the frame of its own crystal; spots without lattice in that of the first crystal."""
    from dataclasses import replace

    crystals = [e.crystal for e in experiments]
    first = next((c for c in crystals if c is not None), None)
    if first is None:
        raise ParameterError("crystal_frame=True: the experiments have no crystal; run spindle index first")
    frames = np.array([(c or first).U for c in crystals] + [first.U])
    position = np.einsum("nj,njk->nk", points.position, frames[points.lattice])  # -1 is the last
    return replace(points, position=position)


def _check_filters(points: Points, params: Any, log: logging.Logger) -> None:
    """Say which filters have nothing to go by."""
    if (params.n_min or (params.n_max or 1_000_000) < 1_000_000) and not (points.pixels >= 0).any():
        log.warning(
            "n_min= and n_max= have no effect: the reflections do not tell their pixels (column n_signal or shoebox)"
        )
    if (params.partiality_min, params.partiality_max) != (None, None) and not (points.partiality >= 0).any():
        log.warning("partiality_min= and partiality_max= have no effect: the reflections have no partiality")


def _axes_of(experiment: Experiment, crystal_frame: bool) -> list[list[float]] | None:
    """a*, b*, c* in the frame of the points."""
    if experiment.crystal is None:
        return None
    matrix = experiment.crystal.B if crystal_frame else experiment.crystal.A
    return [[float(v) for v in column] for column in matrix.T]


def _meta(experiments: Experiments, points: Points, inputs: ProgramInputs, params: Any) -> dict[str, Any]:
    """What the page must know beside the points."""
    n = len(points.z)
    ids = params.experiment_ids
    wrong = [i for i in ids or () if i >= len(experiments)]
    if wrong:
        raise ParameterError(
            f"experiment_ids: there is no experiment {wrong[0]}, there are {len(experiments)}, counted from 0"
        )
    numbers = np.bincount(points.lattice + 1, minlength=len(experiments) + 1)
    lattices: list[dict[str, Any]] = [
        {
            "name": "without lattice",
            "colour": WITHOUT,
            "count": int(numbers[0]),
            "shown": ids is None or -1 in ids,
            "axes": None,
        }
    ]
    for i, experiment in enumerate(experiments):
        crystal = experiment.crystal
        entry = {"name": f"lattice {i}", "colour": COLOURS[i % len(COLOURS)], "count": int(numbers[i + 1])}
        entry |= {"shown": ids is None or i in ids, "axes": _axes_of(experiment, bool(params.crystal_frame))}
        if crystal is not None:
            entry |= {
                "cell": " ".join(f"{v:.2f}".rstrip("0").rstrip(".") for v in crystal.cell),
                "group": crystal.space_group.xhm(),
            }
        lattices.append(entry)
    if all(e.crystal is None for e in experiments):
        lattices = lattices[:1]
    beam, axis = _directions(experiments, bool(params.crystal_frame))
    kinds = np.where(points.status & INTEGRATED_BIT, 2, points.status & INDEXED_BIT)
    shown = {"all": (1, 1, 1), "unindexed": (1, 0, 0), "indexed": (0, 1, 1), "integrated": (0, 0, 1)}[params.display]
    n_min, n_max = params.n_min or None, params.n_max if (params.n_max or 0) < 1_000_000 else None
    options = {
        "rotation": _view(params.model_view_matrix, beam, axis), "statuses": [bool(s) for s in shown],
        "outliers": params.outlier_display or "", "colouring": "lattice", "size": _size(params.marker_size, n),
        "d": [params.d_min or None, None], "z": [params.z_min, params.z_max], "n": [n_min, n_max],
        "p": [params.partiality_min, params.partiality_max], "axes": params.show_crystal_axes, "cells": params.show_reciprocal_cell,
        "spindle": params.show_rotation_axis, "beam": params.show_beam_vector, "nearest": params.label_nearest_point,
        "black": params.black_background, "spin": params.autospin,
    }  # fmt: skip
    return {
        "title": _title(inputs),
        "lattices": lattices,
        "toggles": 1 + (len(experiments) if params.max_experiments is None else params.max_experiments),
        "counts": np.bincount(kinds, minlength=3).tolist(),
        "beam": beam.tolist(),
        "axis": None if axis is None else axis.tolist(),
        "z": [float(points.z.min()), float(points.z.max())] if n else [0.0, 1.0],
        "reach": max((float(np.linalg.norm(a)) for e in lattices if e["axes"] for a in e["axes"]), default=1.0),
        "hasZ": bool(n and np.ptp(points.z) > 0),
        "hasPixels": bool((points.pixels >= 0).any()),
        "hasPartiality": bool((points.partiality >= 0).any()),
        "options": options,
    }


def _title(inputs: ProgramInputs) -> str:
    """The names of the reflection files."""
    names = [path.name for path in inputs.sources[-len(inputs.reflections) :]]
    return ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "") if names else "spots"


def _directions(experiments: Experiments, crystal_frame: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """The beam, as it travels at angle zero, and the rotation axis, both of the first experiment, as unit vectors with the points."""
    first = experiments[0]
    beam, axis = first.beam.s0 / np.linalg.norm(first.beam.s0), None
    goniometer = first.goniometer
    if goniometer is not None:
        beam = goniometer.fixed_rotation.T @ goniometer.setting_rotation.T @ beam
        axis = goniometer.fixed_rotation.T @ goniometer.rotation_axis
    if crystal_frame and first.crystal is not None:
        beam, axis = first.crystal.U.T @ beam, None if axis is None else first.crystal.U.T @ axis
    return beam, axis


def _view(matrix: tuple[float, ...] | None, beam: np.ndarray, axis: np.ndarray | None) -> list[float]:
    """Right, upper and near direction of the first view, one after the other: along the beam, the axis to the right."""
    if matrix is not None:
        rotation = np.array(matrix).reshape(4, 4).T[:3, :3]
        size = np.cbrt(np.linalg.det(rotation)) if np.linalg.det(rotation) > 0 else 0.0
        if not size > 0 or np.abs(rotation @ rotation.T / size**2 - np.eye(3)).max() > 1e-3:
            raise ParameterError(
                "model_view_matrix: the upper left 3 x 3 numbers are no rotation (times a scale); leave it out"
            )
        return [float(v) for v in (rotation / size).ravel()]
    near = -beam
    choices = [c for c in (axis, np.array([1.0, 0, 0]), np.array([0, 1.0, 0])) if c is not None]
    right = next(c for c in choices if np.linalg.norm(np.cross(near, c)) > 1e-3)
    right = right - (right @ near) * near
    right = right / np.linalg.norm(right)
    return [float(v) for v in np.concatenate([right, np.cross(near, right), near])]


def _size(wanted: Any, n: int) -> float:
    if wanted is None or wanted is Auto:
        return 5.0 if n < 3000 else 3.0 if n < 50_000 else 2.0
    return float(wanted)


def _report(experiments: Experiments, points: Points, context: RunContext) -> dict[str, Any]:
    """Print how many spots each lattice has."""
    n = len(points.z)
    rows: list[list[Any]] = []
    for i, experiment in enumerate(experiments):
        own = points.lattice == i
        crystal = experiment.crystal
        if crystal is None:
            continue
        share = f"{100 * own.sum() / n:.1f}" if n else None
        cell = " ".join(f"{v:.2f}" for v in crystal.cell)
        integrated = int(((points.status & INTEGRATED_BIT) != 0)[own].sum())
        rows.append([i, crystal.space_group.xhm(), cell, int(own.sum()), share, integrated])
        if len(rows) == MOST_ROWS:
            break
    if rows:
        headers = ["Lattice", "Space group", "Cell (A, deg)", "spots", "% of all", "integrated"]
        context.table(Table("Lattices", headers, rows, "lattices"))
    without = int((points.lattice < 0).sum())
    context.log.info("%d spots, %d of them without lattice", n, without)
    return {"n_points": n, "n_without_lattice": without, "n_lattices": sum(e.crystal is not None for e in experiments)}
