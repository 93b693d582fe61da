"""Values of models at scan points, and their plots."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from spindle.contracts import ProgramInputs, ProgramResult
from spindle.errors import ParameterError, UserError
from spindle.models import Crystal, Experiment, Experiments, cell_from_real_space
from spindle.report import Table
from spindle_lib_refinement.metric import cell_deviations

from .turns import orientations, three_turns

if TYPE_CHECKING:
    from spindle.execution import RunContext

__all__ = ["Curves", "draw_models"]

CELL = ("a", "b", "c", "alpha", "beta", "gamma", "volume")
TURNS = ("phi1", "phi2", "phi3")
BEAM = ("x", "y")
MOST_ROWS = 40
SLIPPED = 2.0  # degrees that no crystal turns by itself


@dataclass(frozen=True)
class Curves:
    """Values of one experiment along its scan.

    Attributes
    ----------
    number : int
        Of the experiment.
    phi : (n,) float64, degrees
        Rotation angles of the scan points.
    values : (n, k) float64
        A column for each curve.
    sd : (n, k) float64 or None
        Their standard deviations.
    """

    number: int
    phi: np.ndarray
    values: np.ndarray
    sd: np.ndarray | None = None


def draw_models(inputs: ProgramInputs, params: Any, context: RunContext) -> ProgramResult:
    """Draw as the parameters say; see the program."""
    from .plots import beam_figure, cell_figure, orientation_figure, writer

    experiments = _checked(inputs)
    axes = [_axis(params.orientation_decomposition, name) for name in ("e1", "e2", "e3")]
    relative = params.orientation_decomposition.relative_to_static_orientation
    cells, turns, beams = [], [], []
    for number, experiment in enumerate(experiments):
        crystal = experiment.crystal
        if crystal is not None and crystal.A_at_scan_points is not None:
            phi = _angles(experiment, len(crystal.A_at_scan_points), "the crystal", number)
            cells.append(_cell_curves(number, phi, crystal))
            turns.append(Curves(number, phi, _turns(crystal, axes, relative)))
        if experiment.beam.s0_at_scan_points is not None and (found := _beam_curves(number, experiment, context.log)):
            beams.append(found)
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


def _angles(experiment: Experiment, n: int, name: str, number: int) -> np.ndarray:
    """Rotation angles (n,) in degrees of the scan points."""
    scan = experiment.known_scan
    if n != scan.n_images + 1:
        raise UserError(
            f"plot_scan_varying_model: {name} of experiment {number} has {n} scan points, its scan of {scan.n_images} images has "
            f"{scan.n_images + 1}; refine again"
        )
    start, width = scan.oscillation_deg
    return np.asarray(start + width * np.arange(n))


def _cell_curves(number: int, phi: np.ndarray, crystal: Crystal) -> Curves:
    A = crystal.A_at_scan_points
    assert A is not None
    cells = cell_from_real_space(np.linalg.inv(A))
    values = np.column_stack([cells, 1.0 / np.linalg.det(A)])
    covariance = crystal.extra.get("B_covariance_at_scan_points")
    sd = None
    if covariance is not None:
        given = np.asarray(covariance, dtype=np.float64).reshape(-1, 9, 9)
        if len(given) == len(A):
            B = np.swapaxes(orientations(A), -1, -2) @ A
            sd = np.array([cell_deviations(b, c) for b, c in zip(B, given, strict=True)])
    return Curves(number, phi, values, sd)


def _turns(crystal: Crystal, axes: list[np.ndarray], relative: bool) -> np.ndarray:
    """(n, 3) degrees: turns that make up the orientation at each scan point, without jumps by whole turns."""
    assert crystal.A_at_scan_points is not None
    Q = orientations(crystal.A_at_scan_points)
    if relative:
        Q = Q @ crystal.U.T
    try:
        angles = three_turns(Q, *axes)
    except ValueError as error:
        raise ParameterError(f"orientation_decomposition: {error}; choose other axes e1, e2, e3") from error
    if not np.isfinite(angles).all():
        raise ParameterError(
            "orientation_decomposition: the orientation cannot be reached by turns about these axes; choose e1, e2, e3 at right angles"
        )
    return np.asarray(np.rad2deg(np.unwrap(angles, axis=0)))


def _beam_curves(number: int, experiment: Experiment, log: logging.Logger) -> Curves | None:
    """Beam centres in pixels on the panel that the static beam hits; None when it hits none."""
    points = experiment.beam.s0_at_scan_points
    assert points is not None
    phi = _angles(experiment, len(points), "the beam", number)
    hit = experiment.detector.beam_centre(experiment.beam.s0)
    if hit is None:
        log.warning("The beam of experiment %d hits no panel: its path is not drawn", number)
        return None
    v = points @ experiment.detector.D[hit[0]].T
    return Curves(number, phi, v[:, :2] / v[:, 2:] / experiment.detector[hit[0]].pixel_size)


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
