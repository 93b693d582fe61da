"""Projections of all crystals, and their files."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spindle.contracts import ProgramInputs, ProgramResult
from spindle.errors import ParameterError, UserError
from spindle.models import Experiment, Experiments
from spindle.report import Table

from .poles import (
    crystal_view,
    equivalent_planes,
    laboratory_view,
    planes_up_to,
    smallest_difference,
    stereographic,
)  # fmt: skip

if TYPE_CHECKING:
    from spindle.execution import RunContext

__all__ = ["Projection", "project"]

MOST_ROWS = 40


@dataclass(frozen=True)
class Projection:
    """One crystal on the disc.

    Attributes
    ----------
    name : str
    hkl : (n, 3) int
    xy : (n, 2) float64
        Within the unit circle.
    """

    name: str
    hkl: np.ndarray
    xy: np.ndarray


def project(inputs: ProgramInputs, params: Any, context: RunContext) -> ProgramResult:
    """Project as the parameters say; see the program."""
    experiments = _checked(inputs, params)
    hkl = _planes(experiments, params)
    names = params.plot.labels or [str(i + 1) for i in range(len(experiments))]
    projections = _projections(experiments, hkl, list(names), params)
    centre = "beam" if params.frame == "laboratory" else f"[{' '.join(map(str, params.plane_normal or (0, 0, 1)))}]"
    _report(projections, params, centre, context)
    files: dict[str, Callable[[Path], None]] = {}
    if params.save_coordinates:
        files["projections.txt"] = _text(projections)
    if params.plot.filename is not None:
        from .picture import picture_writer

        up = "rotation axis" if params.frame == "laboratory" and experiments[0].goniometer is not None else ""
        files[str(params.plot.filename)] = picture_writer(projections, experiments, params.plot, centre, up)
    if params.json.filename is not None:
        files[str(params.json.filename)] = _page(projections, bool(params.plot.labels))
    if not files:
        raise ParameterError(
            "save_coordinates=False, plot.filename=None and no json.filename leave nothing to write; ask for one of them"
        )
    summary = {"n_crystals": len(projections), "n_planes": len(hkl)}
    return ProgramResult(files=files, summary=summary)


def _checked(inputs: ProgramInputs, params: Any) -> Experiments:
    if inputs.reflections:
        raise UserError(
            "stereographic_projection: orientations are drawn from experiments alone; leave the reflection file out"
        )
    experiments = inputs.experiments
    if not experiments:
        raise UserError(
            "stereographic_projection: give experiments with crystals, e.g. spindle stereographic_projection indexed.expt hkl=0,0,1"
        )
    without = [i for i, e in enumerate(experiments) if e.crystal is None]
    if without:
        raise UserError(f"stereographic_projection: experiment {without[0]} has no crystal; run spindle index first")
    if bool(params.hkl) == (params.hkl_limit is not None):
        raise ParameterError("stereographic_projection: give either hkl=, for example hkl=0,0,1, or hkl_limit=2")
    if params.plot.labels and len(params.plot.labels) != len(experiments):
        raise ParameterError(
            f"plot.labels={','.join(params.plot.labels)}: there are {len(params.plot.labels)} names for {len(experiments)} crystals"
        )
    crystal_frame = params.frame == "crystal"
    if crystal_frame and (params.phi_angle or params.use_starting_angle):
        raise ParameterError(
            "phi_angle= and use_starting_angle= turn crystals in the laboratory frame; leave them out with frame=crystal"
        )
    if not crystal_frame and params.plane_normal is not None:
        raise ParameterError("plane_normal= is for frame=crystal; the laboratory frame is seen along the beam")
    if params.plane_normal is not None and not any(params.plane_normal):
        raise ParameterError("plane_normal=0,0,0 is no direction; give a lattice vector such as 0,0,1")
    return experiments


def _planes(experiments: Experiments, params: Any) -> np.ndarray:
    """(n, 3) int: what is drawn, by the symmetry of the first crystal."""
    given = np.array(params.hkl) if params.hkl else planes_up_to(params.hkl_limit)
    if (~given.any(axis=1)).any():
        raise ParameterError("hkl=0,0,0 is no plane; leave it out")
    hkl = equivalent_planes(given, experiments[0].known_crystal, params.expand_to_p1, params.eliminate_sys_absent)
    if not len(hkl):
        raise ParameterError(
            "all planes are absent by symmetry; set eliminate_sys_absent=False, or choose other planes"
        )
    return hkl


def _projections(experiments: Experiments, hkl: np.ndarray, names: list[str], params: Any) -> list[Projection]:
    first = experiments[0].known_crystal
    if params.frame == "crystal":
        along = np.array(params.plane_normal or (0, 0, 1), dtype=np.float64)
        view = crystal_view(first, along)
        turns = [np.eye(3)] + [smallest_difference(first, e.known_crystal) for e in experiments[1:]]
        matrices = [turn @ e.known_crystal.B for turn, e in zip(turns, experiments, strict=True)]
    else:
        view = laboratory_view(experiments[0])
        matrices = [_turn(e, params) @ e.known_crystal.A for e in experiments]
    points = [stereographic(hkl @ matrix.T, view) for matrix in matrices]
    return [Projection(name, hkl, xy) for name, xy in zip(names, points, strict=True)]


def _turn(experiment: Experiment, params: Any) -> np.ndarray:
    """(3, 3): the goniometer at the angle asked for."""
    if experiment.goniometer is None:
        return np.eye(3)
    angle = np.deg2rad(params.phi_angle or 0.0)
    if params.use_starting_angle:
        angle = 0.0 if experiment.scan is None else experiment.scan.oscillation[0]
    return experiment.goniometer.rotation(float(angle))


def _report(projections: list[Projection], params: Any, centre: str, context: RunContext) -> None:
    n = len(projections[0].hkl)
    directions, crystals = "direction" + "s" * (n != 1), "crystal" + "s" * (len(projections) != 1)
    context.log.info("%d %s of %d %s, seen along %s%s", n, directions, len(projections), crystals, _the(centre), centre)
    rows: list[list[Any]] = []
    for projection in projections:
        for (h, k, l), (x, y) in zip(projection.hkl.tolist(), projection.xy.tolist(), strict=True):
            if len(rows) == MOST_ROWS:
                break
            tilt = np.rad2deg(2 * np.arctan(np.hypot(x, y)))
            rows.append([projection.name, h, k, l, f"{x:.4f}", f"{y:.4f}", f"{tilt:.2f}"])
    title = (
        "Projections"
        if n * len(projections) <= MOST_ROWS
        else f"The first {MOST_ROWS} of {n * len(projections)} projections"
    )
    headers = ["Crystal", "h", "k", "l", "x", "y", f"angle to\n{_the(centre)}{centre} (deg)"]
    context.table(Table(title, headers, rows, "projections"))


def _the(centre: str) -> str:
    """The article that the name of a direction has; [0 0 1] has none."""
    return "" if centre.startswith("[") else "the "


def _text(projections: list[Projection]) -> Callable[[Path], None]:
    """A line for each point: number of the crystal from 1, indices, coordinates."""

    def write(path: Path) -> None:
        with open(path, "w", encoding="utf-8") as file:
            file.write("crystal h k l x y\n")
            for number, p in enumerate(projections, 1):
                columns = np.column_stack([np.full(len(p.hkl), number), p.hkl, p.xy])
                np.savetxt(file, columns, fmt="%d %d %d %d %.6f %.6f")

    return write


def _page(projections: list[Projection], named: bool) -> Callable[[Path], None]:
    """The points as a figure of plotly, each crystal by itself."""
    traces: list[dict[str, Any]] = []
    for p in projections:
        texts = [f"{p.name}: {h} {k} {l}" if named else f"crystal {p.name}: {h} {k} {l}" for h, k, l in p.hkl.tolist()]
        traces.append(
            {"x": p.xy[:, 0].tolist(), "y": p.xy[:, 1].tolist(), "mode": "markers", "type": "scatter",
             "name": p.name if named else f"crystal {p.name}", "hovertext": texts, "hoverinfo": "text",
             "showlegend": len(projections) > 1},
        )  # fmt: skip
    cross = {"color": "black", "size": 25, "symbol": "cross-thin", "line": {"width": 1}}
    traces.append(
        {
            "x": [0],
            "y": [0],
            "mode": "markers",
            "type": "scatter",
            "marker": cross,
            "hoverinfo": "skip",
            "showlegend": False,
        }
    )
    axis = {
        "range": [-1.05, 1.05],
        "showgrid": False,
        "zeroline": False,
        "showline": False,
        "ticks": "",
        "showticklabels": False,
    }
    circle = {
        "type": "circle",
        "xref": "x",
        "yref": "y",
        "x0": -1,
        "y0": -1,
        "x1": 1,
        "y1": 1,
        "line": {"color": "black"},
    }
    layout = {"title": {"text": "Stereographic projections"}, "hovermode": "closest", "shapes": [circle], "xaxis": axis,
              "yaxis": {**axis, "scaleanchor": "x"}}  # fmt: skip
    text = json.dumps({"data": traces, "layout": layout})

    def write(path: Path) -> None:
        path.write_text(text + "\n", encoding="utf-8")

    return write
