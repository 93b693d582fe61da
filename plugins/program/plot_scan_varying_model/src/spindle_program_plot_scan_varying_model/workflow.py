"""Values of models at scan points, and their plots."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from spindle.contracts import ProgramInputs, ProgramResult
from spindle.errors import ParameterError, UserError
from spindle.models import Experiment, Experiments
from spindle.report import Table
from spindle_lib_model_curves.curves import BEAM, CELL, TURNS, Curves, beam_curves, cell_curves, turn_curves

if TYPE_CHECKING:
    from spindle.execution import RunContext

__all__ = ["draw_models"]

MOST_ROWS = 40
SLIPPED = 2.0  # degrees that no crystal turns by itself


def draw_models(inputs: ProgramInputs, params: Any, context: RunContext) -> ProgramResult:
    """Draw as the parameters say; see the program."""
    from .plots import beam_figure, cell_figure, orientation_figure, writer

    experiments = _checked(inputs)
    axes = [_axis(params.orientation_decomposition, name) for name in ("e1", "e2", "e3")]
    relative = params.orientation_decomposition.relative_to_static_orientation
    cells, turns, beams = [], [], []
    for number, experiment in enumerate(experiments):
        if (cell := cell_curves(experiment, number)) is not None:
            cells.append(cell)
            turns.append(_turns(experiment, number, np.array(axes), relative))
        if (beam := beam_curves(experiment, number)) is not None:
            beams.append(beam)
        elif experiment.beam.s0_at_scan_points is not None:
            context.log.warning("The beam of experiment %d hits no panel: its path is not drawn", number)
    _say_static(experiments, cells, beams, context.log)
    if not cells and not beams:
        raise UserError(
            "plot_scan_varying_model: no model of the experiments varies with the scan; give those of spindle refine with "
            "refinement.parameterisation.scan_varying=True (its default for scans)"
        )
    _report(cells, turns, beams, params.output.debug, context)
    folder = params.output.directory / "scan-varying_model"
    kind = f".{params.output.format}"
    figures = (
        ("unit_cell", cell_figure, cells),
        ("orientation", orientation_figure, turns),
        ("beam_centre", beam_figure, beams),
    )
    files = {str(folder / f"{name}{kind}"): writer(draw, curves, kind) for name, draw, curves in figures if curves}
    return ProgramResult(
        files=files,
        summary=_summary(cells, turns, beams),
        next_step="spindle show <experiments> show_scan_varying=True",
    )


def _checked(inputs: ProgramInputs) -> Experiments:
    if inputs.reflections:
        raise UserError(
            "plot_scan_varying_model: models are drawn from experiments alone; leave the reflection file out"
        )
    if not inputs.experiments:
        raise UserError(
            "plot_scan_varying_model: give experiments that spindle refine wrote, e.g. spindle plot_scan_varying_model refined.expt"
        )
    return inputs.experiments


def _axis(scope: Any, name: str) -> np.ndarray:
    axis = np.array(getattr(scope, name))
    length = np.linalg.norm(axis)
    if not length > 1e-9:
        raise ParameterError(
            f"orientation_decomposition.{name}={' '.join(f'{v:g}' for v in axis)}: an axis has a length; give another"
        )
    return np.asarray(axis / length)


def _turns(experiment: Experiment, number: int, axes: np.ndarray, relative: bool) -> Curves:
    """The orientation as turns about the axes that were asked for."""
    try:
        found = turn_curves(experiment, number, axes, relative)
    except ValueError as error:
        raise ParameterError(
            f"orientation_decomposition: {error}; choose other axes e1, e2, e3, best at right angles"
        ) from error
    assert found is not None
    return found


def _say_static(experiments: Experiments, cells: list[Curves], beams: list[Curves], log: logging.Logger) -> None:
    """Name the experiments of which nothing varies."""
    drawn = {c.number for c in [*cells, *beams]}
    static = [str(i) for i in range(len(experiments)) if i not in drawn]
    if static and drawn:
        names = ", ".join(static[:10]) + (" ..." if len(static) > 10 else "")
        log.info(
            "Not drawn, since their models are static: experiments %s (%d of %d)", names, len(static), len(experiments)
        )


def _ranges(curves: Curves) -> np.ndarray:
    return np.asarray(np.ptp(curves.values, axis=0))


def _report(cells: list[Curves], turns: list[Curves], beams: list[Curves], debug: bool, context: RunContext) -> None:
    """Print how much each model changes, and with `debug` all values."""
    headers = ["Experiment", "points", "phi (deg)", "a (%)", "b (%)", "c (%)", "angles (deg)", "volume (%)", "phi1 (deg)", "phi2 (deg)", "phi3 (deg)"]  # fmt: skip
    rows: list[list[Any]] = []
    for cell, turn in list(zip(cells, turns, strict=True))[:MOST_ROWS]:
        change = _ranges(cell)
        relative = 100.0 * change / cell.values.mean(axis=0)
        percents = [f"{v:.3f}" for v in (*relative[:3], relative[6])]
        angles = [f"{v:.3f}" for v in _ranges(turn)]
        span = f"{cell.phi[0]:g} - {cell.phi[-1]:g}"
        rows.append([cell.number, len(cell.phi), span, *percents[:3], f"{change[3:6].max():.3f}", percents[3], *angles])
    if rows:
        context.table(Table("Largest less smallest value along the scan", headers, rows, "model_ranges"))
    for turn in turns:
        if (most := float(_ranges(turn).max())) > SLIPPED:
            context.log.warning(
                "The crystal of experiment %d turns by %.1f degrees along the scan: it slipped, or the refinement went astray",
                turn.number, most,
            )  # fmt: skip
    if beams:
        moved = [[b.number, len(b.phi), *(f"{v:.3f}" for v in _ranges(b))] for b in beams[:MOST_ROWS]]
        context.table(
            Table("The same of the beam centre", ["Experiment", "points", "x (px)", "y (px)"], moved, "beam_ranges")
        )
    if debug:
        for curves, names in [*((c, CELL) for c in cells), *((t, TURNS) for t in turns), *((b, BEAM) for b in beams)]:
            values = [
                [f"{p:.4f}", *(f"{v:.6f}" for v in row)] for p, row in zip(curves.phi, curves.values, strict=True)
            ]
            context.table(
                Table(
                    f"Experiment {curves.number}", ["phi (deg)", *names], values, f"values_{names[0]}_{curves.number}"
                )
            )


def _summary(cells: list[Curves], turns: list[Curves], beams: list[Curves]) -> dict[str, Any]:
    return {
        "n_crystals": len(cells),
        "n_beams": len(beams),
        "largest_turn_deg": float(max((np.abs(t.values).max() for t in turns), default=0.0)),
        "largest_volume_change": float(
            max((np.ptp(c.values[:, 6]) / c.values[:, 6].mean() for c in cells), default=0.0)
        ),
    }
