"""What the page has to know beside the points, and the geometry that its parameters ask for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from spindle.errors import ParameterError
from spindle.models import Detector, Experiment, Experiments
from spindle.params import Auto
from spindle_lib_spots.sweeps import sweeps_of

from .points import INDEXED_BIT, INTEGRATED_BIT, Points, displaced, reversed_axis

__all__ = ["aligned", "as_asked", "meta_of"]

WITHOUT = "#b4b4b4"
#: Seen on black and on white.
COLOURS = ("#4aa3df", "#e69f00", "#1fb48a", "#e0603a", "#cc79a7", "#b0a010", "#8f7ff0", "#a07850")


def as_asked(experiments: Experiments, params: Any) -> Experiments:
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


def aligned(experiments: Experiments, points: Points) -> Points:
    """The points with each lattice in the frame of its own crystal; spots without lattice in that of the first crystal."""
    frames = _frames(experiments)
    position = np.einsum("nj,njk->nk", points.position, frames[points.lattice])  # -1 is the last
    return replace(points, position=position)


def _frames(experiments: Experiments) -> np.ndarray:
    """(m + 1, 3, 3) float64: U of each crystal; that of the first where there is none, and last."""
    crystals = [e.crystal for e in experiments]
    first = next((c for c in crystals if c is not None), None)
    if first is None:
        raise ParameterError("crystal_frame=True: the experiments have no crystal; run spindle index first")
    return np.array([(c or first).U for c in crystals] + [first.U])


def _axes_of(experiment: Experiment, crystal_frame: bool) -> list[list[float]] | None:
    """a*, b*, c* in the frame of the points."""
    if experiment.crystal is None:
        return None
    matrix = experiment.crystal.B if crystal_frame else experiment.crystal.A
    return [[float(v) for v in column] for column in matrix.T]


def meta_of(
    experiments: Experiments, points: Points, params: Any, title: str = "spots", command: str = "<experiments> <reflections>"
) -> dict[str, Any]:  # fmt: skip
    """What the page must know beside the points; plain values.

    Parameters
    ----------
    experiments : Experiments
        As `as_asked` made them.
    points : Points
    params : Params
        Those of ``spindle reciprocal_lattice_viewer``.
    title : str
    command : str
        Files as they are written on a command line.
    """
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
        "title": title,
        "command": command,
        "sweeps": _sweeps(experiments),
        "detectors": _detectors(experiments),
        "frames": _plain_frames(experiments) if params.crystal_frame else None,
        "lattices": lattices,
        "toggles": 1 + (len(experiments) if params.max_experiments is None else params.max_experiments),
        "counts": np.bincount(kinds, minlength=3).tolist(),
        "beam": beam.tolist(),
        "axis": None if axis is None else axis.tolist(),
        "z": [float(points.z.min()), float(points.z.max())] if n else [0.0, 1.0],
        "reach": max((float(np.linalg.norm(a)) for e in lattices if e["axes"] for a in e["axes"]), default=1.0),
        "hasZ": bool(n and np.ptp(points.z) > 0),
        "intensity": _span(points.intensity),
        "hasIntensity": bool((points.intensity > 0).any()),
        "hasPixels": bool((points.pixels >= 0).any()),
        "hasPartiality": bool((points.partiality >= 0).any()),
        "options": options,
    }


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


def _span(values: np.ndarray) -> list[float]:
    """Low and high of the colours of positive values."""
    positive = values[values > 0]
    if not positive.size:
        return [1.0, 10.0]
    low, high = np.quantile(positive, [0.02, 0.998])
    return [float(low), float(max(high, 1.001 * low))]


def _plain_frames(experiments: Experiments) -> list[list[float]]:
    """Of each lattice, those of the spots without first, the rotation to the crystal."""
    frames = _frames(experiments)
    return [[float(v) for v in frames[k].ravel()] for k in (-1, *range(len(experiments)))]


def _flat(matrix: np.ndarray) -> list[float]:
    return [float(v) for v in np.asarray(matrix).ravel()]


def _sweeps(experiments: Experiments) -> list[dict[str, Any]]:
    """How each sweep turns, for the page that moves the geometry."""
    found = []
    for k, e in enumerate(sweeps_of(experiments)[0]):
        images = e.imageset
        name = f"sweep {k}"
        if images is not None and (images.template or images.paths):
            name += f": {Path(images.template or images.paths[0]).name}"
        goniometer, scan = e.goniometer, e.scan
        entry: dict[str, Any] = {
            "name": name, "colour": COLOURS[k % len(COLOURS)], "s0": _flat(e.beam.s0), "wavelength": float(e.beam.wavelength),
            "S": None, "F": None, "axis": None, "axes": [], "still": bool(e.is_still), "start": 0.0, "width": 0.0, "first": 0.0,
        }  # fmt: skip
        if goniometer is not None:
            entry |= {
                "S": _flat(goniometer.setting_rotation), "F": _flat(goniometer.fixed_rotation), "axis": _flat(goniometer.rotation_axis)
            }  # fmt: skip
            entry["axes"] = _goniometer_axes(goniometer)
        if scan is not None:
            start, width = scan.oscillation
            entry |= {"start": float(start), "width": float(width), "first": float(scan.array_range[0])}
        found.append(entry)
    return found


def _goniometer_axes(goniometer: Any) -> list[dict[str, Any]]:
    """Names of the axes and where they point, with those between them and the base as they stand; the scan axis last."""
    axes, angles = goniometer.axes, goniometer.angles_deg
    if axes is None or angles is None:
        return [{"name": "rotation axis", "direction": _flat(goniometer.axis_lab)}]
    from spindle.geometry import rotation_matrix

    names = goniometer.names or tuple(f"axis {i}" for i in range(len(axes)))
    found = []
    for i, (name, axis) in enumerate(zip(names, axes, strict=True)):
        direction = np.array(axis)
        for j in range(i + 1, len(axes)):
            direction = rotation_matrix(np.array(axes[j]), np.deg2rad(angles[j])) @ direction
        found.append({"name": f"{name} (scan)" if i == goniometer.scan_axis else name, "direction": _flat(direction)})
    return found


def _detectors(experiments: Experiments) -> list[dict[str, Any]]:
    """Corners of all panels of each detector, and the frame of the panel that the beam hits."""
    found = []
    for detector in experiments.unique("detector"):
        beam = experiments[experiments.indices_with("detector", detector)[0]].beam
        hit = detector.beam_centre(beam.s0)
        panel = detector[hit[0] if hit is not None else 0]
        found.append({
            "corners": [_corners(detector, i) for i in range(len(detector))], "hit": hit is not None,
            "fast": _flat(panel.fast_axis), "slow": _flat(panel.slow_axis), "origin": _flat(panel.origin), "normal": _flat(panel.normal),
            "beam": _flat(beam.s0 / np.linalg.norm(beam.s0)), "pixel": float(panel.pixel_size[0]),
        })  # fmt: skip
    return found


def _corners(detector: Detector, number: int) -> list[list[float]]:
    panel = detector[number]
    width, height = panel.size_mm
    fast, slow = panel.fast_axis * width, panel.slow_axis * height
    return [_flat(panel.origin + a * fast + b * slow) for a, b in ((0, 0), (1, 0), (1, 1), (0, 1))]
