"""The program `align_crystal`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.errors import UserError
from spindle.models import Experiment, Goniometer
from spindle.params import Choice, PathParam, SpaceGroup, Str
from spindle.params import Params as ParamsBase
from spindle.report import Table, json_text
from spindle.symmetry import laue_group_ops

from .alignment import AXES, Solution, Vector, fold, solutions, vector_pairs


class AlignCrystal(Program):
    """Find the angles of a goniometer that align axes of the crystal with the rotation axis.

    The goniometer has three axes, such as omega, chi and phi or omega, kappa and phi. With mode=main the first vector of a pair lies
    along the rotation axis and the second in the plane of axis and beam; with mode=cusp the first is across axis and beam
    and the second lies in the plane with the axis, so that a symmetry axis carries reflections out of the blind region.

        spindle align_crystal indexed.expt
        spindle align_crystal indexed.expt mode=cusp vector=c* vector=a*
    """

    takes_files = False

    class Params(ParamsBase):
        """What is aligned with what."""

        space_group = SpaceGroup(None, none=True, help="Symmetry of the crystal, instead of that in the file.")

        class align(ParamsBase):
            """Crystal and laboratory."""

            mode = Choice(
                ["main", "cusp"],
                default="main",
                help="main: the first vector along the rotation axis, the second in the plane of axis and beam; cusp: the first across "
                "both, the second in the plane with the axis.",
            )

            class crystal(ParamsBase):
                """Vectors of the crystal."""

                vector = Str(
                    None,
                    multiple=True,
                    help="Vectors, two for each alignment: an axis (a, b, c, a*, b*, c*) or three numbers. All pairs of axes if none is "
                    "given.",
                )
                frame = Choice(
                    ["reciprocal", "direct"],
                    default="reciprocal",
                    help="What numbers and the pairs of axes mean: reciprocal (h k l) or direct (u v w) vectors.",
                )

        class output(ParamsBase):
            """What is written."""

            json = PathParam("align_crystal.json", none=True, help="All solutions.")
            log = PathParam("spindle.align_crystal.log", none=True, help="Log file.")

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Any, context: Any) -> ProgramResult:
        """Align; see `spindle.contracts.program.ProgramSpec`."""
        if not inputs.experiments:
            raise UserError("align_crystal: give an experiment file with a crystal and its goniometer")
        several = len(inputs.experiments) > 1
        pairs = vector_pairs(params.align.crystal.vector, params.align.crystal.frame == "direct")
        content, total = [], 0
        for number, experiment in enumerate(inputs.experiments):
            goniometer = three_axes(experiment, number)
            crystal = experiment.known_crystal
            title = f", experiment {number}" if several else ""
            _report_angles(experiment, goniometer, title, context)
            if goniometer.scan_axis != 2 and goniometer.names is not None:
                context.log.info(
                    "This scan turns about another axis than %s, the outermost: the settings below are for scans about %s",
                    goniometer.names[2],
                    goniometer.names[2],
                )
            found = solutions(crystal, goniometer, experiment.beam.s0, pairs, params.align.mode, params.space_group)
            rotations = laue_group_ops(params.space_group or crystal.space_group, proper=True)
            _report(found, goniometer, rotations, title, context)
            content.append(described(found, goniometer, rotations))
            total += len(found)
        files: dict[str, Callable[[Path], None]] = {}
        if params.output.json is not None:
            text = json_text(content[0] if not several else {"experiments": content}, 2)
            files[str(params.output.json)] = _writer(text)
        return ProgramResult(
            files=files, summary={"n_solutions": total}, next_step=_next_step(total, params.align.mode)
        )


def _next_step(n_solutions: int, mode: str) -> str:
    """What a user would do with the settings, or without any."""
    if n_solutions:
        return "spindle import IMAGES, those of a scan at one of these settings"
    other = "cusp" if mode == "main" else "main"
    return f"spindle align_crystal with mode={other} or other vectors: no setting of this goniometer brings these into line"


def _writer(text: str) -> Callable[[Path], None]:
    def write(target: Path) -> None:
        target.write_text(text + "\n", encoding="utf-8")

    return write


def three_axes(experiment: Experiment, number: int) -> Goniometer:
    """The goniometer, with the names of its axes.

    Raises
    ------
    UserError
        If it does not have three axes.
    """
    goniometer = experiment.known_goniometer
    if goniometer.axes is None:
        raise UserError(
            f"align_crystal: the goniometer of experiment {number} has one axis only; an alignment needs the three axes of a kappa or chi "
            "goniometer. Import the images with geometry.goniometer.axes=, angles= and names= if the header does not tell them"
        )
    if len(goniometer.axes) != 3:
        raise UserError(
            f"align_crystal: the goniometer of experiment {number} has {len(goniometer.axes)} axes; three are needed"
        )
    return goniometer


def _report_angles(experiment: Experiment, goniometer: Goniometer, title: str, context: Any) -> None:
    """Angles of the axes of the cell to those of the instrument, with the goniometer at zero."""
    assert goniometer.axes is not None and goniometer.names is not None
    directions = [
        (goniometer.names[0], goniometer.axes[0]),
        ("Beam", experiment.beam.s0),
        (goniometer.names[2], goniometer.axes[2]),
    ]
    for direct, what in ((False, "reciprocal cell axes"), (True, "unit cell axes")):
        vectors = [Vector(axis, direct) for axis in AXES]
        rows = [
            [name, *(f"{_acute_deg(v.of(experiment.known_crystal.A), direction):.3f}" for v in vectors)]
            for name, direction in directions
        ]
        headers = ["Experimental axis", *(v.name for v in vectors)]
        context.table(
            Table(f"Angles (deg) between {what} and principal experimental axes, goniometer at zero{title}", headers, rows,
                  "angles_direct" if direct else "angles_reciprocal")
        )  # fmt: skip


def _acute_deg(one: np.ndarray, two: np.ndarray) -> float:
    """Angle between two lines, 0 to 90 degrees."""
    return float(np.degrees(np.arctan2(np.linalg.norm(np.cross(one, two)), abs(one @ two))))


def _report(found: list[Solution], goniometer: Goniometer, rotations: np.ndarray, title: str, context: Any) -> None:
    names = goniometer.names or ()
    rows = []
    for solution in found:
        first, second = (_with_fold(v, rotations) for v in solution.pairs[0])
        rows.append([first, second, f"{solution.angles_deg[1]:.3f}", f"{solution.angles_deg[0]:.3f}"])
    headers = ["Primary axis", "Secondary axis", f"{names[1]} (deg)", f"{names[0]} (deg)"]
    context.table(Table(f"Independent solutions{title}", headers, rows, "solutions"))
    if not found:
        context.log.warning(
            "Warning: no setting of %s and %s aligns these vectors: they are out of reach of this goniometer. Try other vectors, or "
            "mount the crystal in another way",
            names[1],
            names[0],
        )


def _with_fold(vector: Vector, rotations: np.ndarray) -> str:
    n = fold(vector, rotations)
    return vector.name if n == 1 else f"{vector.name} ({n}-fold)"


def described(found: list[Solution], goniometer: Goniometer, rotations: np.ndarray) -> dict[str, Any]:
    """What the JSON file holds of an experiment."""
    assert goniometer.axes is not None and goniometer.angles_deg is not None and goniometer.names is not None
    entries = [
        {
            "primary_axis": [first.name for first, _ in s.pairs],
            "secondary_axis": [second.name for _, second in s.pairs],
            "primary_axis_type": [fold(first, rotations) for first, _ in s.pairs],
            "secondary_axis_type": [fold(second, rotations) for _, second in s.pairs],
            goniometer.names[1]: round(s.angles_deg[1], 3),
            goniometer.names[0]: round(s.angles_deg[0], 3),
        }
        for s in found
    ]
    model = {
        "axes": goniometer.axes.tolist(), "angles": goniometer.angles_deg.tolist(), "names": list(goniometer.names),
        "scan_axis": goniometer.scan_axis,
    }  # fmt: skip
    return {"solutions": entries, "goniometer": model}
