"""Experiments, reflections and the page of scaled stills."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from spindle.geometry import rotation_matrix
from spindle.models import Experiments
from spindle.report import Table
from spindle.table import BAD_FOR_SCALING, Flag, ReflectionTable
from spindle_lib_merging import MergingStatistics
from spindle_lib_pages import Page
from spindle_lib_pages.figures import histogram, lines, resolution_ticks

from .merging import Halves
from .observations import Observations
from .postrefinement import Result

__all__ = ["page", "scaled_experiments", "scaled_table"]


def scaled_experiments(
    experiments: Experiments, obs: Observations, result: Result, model: dict[str, Any]
) -> Experiments:
    """Experiments with refined orientations, and scale and B as a model of the kind KB.

    Parameters
    ----------
    experiments : Experiments
    obs : Observations
    result : Result
    model : dict
        What is added to the configuration of each scaling model.
    """
    items = []
    for k, experiment in enumerate(experiments):
        scale, b, r1, r2, width = (float(v) for v in result.parameters[k])
        crystal = experiment.known_crystal
        turn = r1 * obs.e1[k] + r2 * obs.e2[k]
        angle = float(np.linalg.norm(turn))
        if angle > 0:
            crystal = crystal.with_A(rotation_matrix(turn / angle, angle) @ crystal.A)
        found = {
            "__id__": "KB",
            "scale": {"n_parameters": 1, "parameters": [float(np.exp(scale))], "null_parameter_value": 1.0},
            "decay": {"n_parameters": 1, "parameters": [b], "null_parameter_value": 0.0},
            "configuration_parameters": {
                "corrections": ["scale", "decay"], **model, "partiality_width": float(np.exp(width)),
                "error_model_type": "BasicErrorModel",
                "error_model_parameters": [float(np.sqrt(result.errors.a2)), float(np.sqrt(result.errors.b2 / result.errors.a2))],
            },
        }  # fmt: skip
        items.append(replace(experiment, crystal=crystal, scaling_model=found))
    return Experiments(items)


def scaled_table(table: ReflectionTable, obs: Observations, result: Result, min_partiality: float) -> ReflectionTable:
    """The table with partial intensities, and scale factors that hold the partiality, so that they give whole ones."""
    n = len(table)
    columns = {
        "intensity.scale.value": (np.zeros(n), obs.value),
        "intensity.scale.variance": (np.zeros(n), 1.0 / np.maximum(_weights(obs, result), 1e-300)),
        "inverse_scale_factor": (np.ones(n), result.g),
        "inverse_scale_factor_variance": (np.zeros(n), result.spread * result.g**2),
        "partiality": (
            np.asarray(table["partiality"], float) if "partiality" in table else np.ones(n),
            result.partiality,
        ),
    }
    view = table.view()
    for name, (start, values) in columns.items():
        column = np.array(start, dtype=np.float64)
        column[obs.rows] = values
        view[name] = column
    flags = np.array(table["flags"], dtype=np.uint64) & ~np.uint64(int(BAD_FOR_SCALING | Flag.SCALED))
    left = np.ones(n, bool)
    left[obs.rows] = False
    used = result.merged.weight > 0
    flags[left] |= np.uint64(int(Flag.EXCLUDED_FOR_SCALING))
    flags[obs.rows[result.outlier]] |= np.uint64(int(Flag.OUTLIER_IN_SCALING))
    flags[obs.rows[~used & ~result.outlier]] |= np.uint64(int(Flag.EXCLUDED_FOR_SCALING))
    flags[obs.rows[used]] |= np.uint64(int(Flag.SCALED))
    view["flags"] = flags
    return view


def _weights(obs: Observations, result: Result) -> np.ndarray:
    """1 / variance of every observation that is merged; of the others what integration says."""
    return np.where(result.merged.weight > 0, result.merged.weight, 1.0 / np.maximum(obs.variance, 1e-300))


def page(
    tables: Sequence[Table], statistics: MergingStatistics, halves: Sequence[Halves], result: Result, kept: np.ndarray
) -> str:
    """A self-contained page."""
    found = Page("Scaled stills")
    found.section("Agreement")
    found.tables(tables)
    x = [h.n_stills for h in halves]
    log = {"type": "log", "title": {"text": "stills"}}
    found.plot(
        lines("CC1/2 with the number of stills", "stills", "CC1/2", [("", x, [h.cc_half for h in halves])], xaxis=log)
    )
    found.plot(
        lines(
            "R split with the number of stills", "stills", "R split", [("", x, [h.r_split for h in halves])], xaxis=log
        )
    )
    shells = statistics.shells
    s = [0.5 * (shell.d_max**-2 + shell.d_min**-2) for shell in shells]
    ticks = resolution_ticks(s)
    for title, key in (("CC1/2", "cc_half"), ("Merged I/sigma", "i_over_sigma"), ("Completeness", "completeness")):
        found.plot(lines(title, "", title, [("", s, [getattr(shell, key) for shell in shells])], xaxis=ticks))
    found.section("Stills")
    p = result.parameters[kept]
    found.plot(histogram("Scales", "ln scale", p[:, 0]))
    found.plot(histogram("Relative B factors", "A^2", p[:, 1]))
    if np.any(p[:, 2:4]):
        found.plot(histogram("Rotations", "degrees", np.degrees(np.hypot(p[:, 2], p[:, 3]))))
        found.plot(histogram("Widths", "width of reciprocal-lattice points", np.exp(p[:, 4])))
        found.plot(
            histogram(
                "Partialities", "part of a reflection that is recorded", result.partiality[result.merged.weight > 0]
            )
        )
    return found.html()
