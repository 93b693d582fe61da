"""Text, history and plots that `spindle refine` can write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spindle.contracts.refiner import RefinementResult
from spindle.errors import ParameterError
from spindle.models import Crystal, Experiments
from spindle.report import json_text
from spindle.table import Flag, ReflectionTable
from spindle_lib_refinement.geometry_drift import panel_of_beam

Writer = Callable[[Path], None]

#: Standard error of the angle between beam and axis (degrees) beyond which it is told.
SURE_DEG = 0.01


def describe_crystal(crystal: Crystal, number: int) -> str:
    """The crystal as people read it: cell with errors, space group and the range of the cell over the scan."""
    cell = crystal.cell
    sd = crystal.cell_sd
    lines = [f"Crystal {number}:"] if number else ["Crystal:"]
    lines.append(
        "    Unit cell: " + ", ".join(with_error(v, None if sd is None else sd[i]) for i, v in enumerate(cell))
    )
    lines.append(f"    Space group: {crystal.space_group.xhm()}")
    if crystal.A_at_scan_points is not None:
        lines.append(f"    A sampled at {len(crystal.A_at_scan_points)} scan points")
        cells = crystal.cells_at_scan_points
        assert cells is not None
        spans = [
            f"{low:.4f} - {high:.4f}"
            for low, high in zip(cells.min(axis=0), cells.max(axis=0), strict=True)
            if high - low > 5e-5
        ]
        if spans:
            lines.append("    Cell elements that vary over the scan: " + ", ".join(spans))
    return "\n".join(lines)


def describe_matrices(crystal: Crystal) -> str:
    """U, B and A of a crystal."""
    lines = []
    for name, matrix in (("U matrix:  ", crystal.U), ("B matrix:  ", crystal.B), ("A = UB:    ", crystal.A)):
        rows = ["{" + ", ".join(f"{v:7.4f}" for v in row) + "}" for row in matrix]
        lines.append(f"    {name}{{" + (",\n" + " " * 16).join(rows) + "}")
    return "\n".join(lines)


def moving_beams(experiments: Experiments) -> list[str]:
    """How far each beam that varies with the scan moves on its detector, in words."""
    texts = []
    for beam in experiments.unique("beam"):
        if beam.s0_at_scan_points is None:
            continue
        number = experiments.indices_with("beam", beam)[0]
        detector = experiments[number].detector
        panel = panel_of_beam(detector, beam.s0)
        places = [detector.beam_centre_px(s0, panel) for s0 in beam.s0_at_scan_points]
        if any(p is None for p in places):
            continue
        x, y = np.array(places).T
        own = "" if len(experiments) == 1 else f" of experiment {number}"
        texts.append(
            f"The beam{own} moves on the detector during the scan, from {x.min():.2f} to {x.max():.2f} px along fast and from "
            f"{y.min():.2f} to {y.max():.2f} px along slow"
        )
    return texts


def axis_text(result: RefinementResult) -> str:
    """How well the angle between beam and axis of rotation is known beside orientations that vary; "" where it is, or is not refined."""
    names = result.parameter_names
    if not any("Phi" in name and "_sample" in name for name in names):
        return ""
    esds = [sd for name, sd in zip(names, result.parameter_esds, strict=True) if name.endswith("Mu2")]
    error = np.degrees(1e-3 * max(esds, default=0.0))
    if not error > SURE_DEG:
        return ""
    return (
        f"The angle between beam and axis of rotation is known to {error:.2g} deg (one standard error), since crystals that drift "
        "look like crystals that turn about another axis. Detector and beam stay as constant models have them, and may be off by that together; predictions are not"
    )


def with_error(value: float, sd: float | None) -> str:
    """A number with its standard deviation in brackets, in units of the last digit shown."""
    if sd is None or not sd > 1e-9:
        return f"{value:.5f}".rstrip("0").ljust(len(f"{value:.0f}") + 2, "0") if sd is None else f"{value:.1f}"
    digits = max(0, int(-np.floor(np.log10(sd))))
    scaled = round(sd * 10**digits)
    if scaled >= 10 and digits > 0:
        digits -= 1
        scaled = round(sd * 10**digits)
    return f"{value:.{digits}f}({scaled if digits else round(sd)})"


def history_writer(results: list[RefinementResult]) -> Writer:
    """JSON of every step of every macrocycle."""

    def plain(value: Any) -> Any:
        return value.tolist() if hasattr(value, "tolist") else value

    content = [
        {
            "reason": r.reason,
            "parameters": r.parameter_names,
            "values": r.parameter_values.tolist(),
            "esds": r.parameter_esds.tolist(),
            "steps": [
                {
                    "n_reflections": s.n_reflections,
                    "rmsd": s.rmsd.tolist(),
                    "objective": s.objective,
                    **{k: plain(v) for k, v in s.journal.items()},
                }
                for s in r.steps
            ],
        }
        for r in results
    ]

    def write(path: Path) -> None:
        path.write_text(json_text({"rmsd_units": ["mm", "mm", "rad"], "macrocycles": content}, 1) + "\n")

    return write


def parameter_writer(result: RefinementResult) -> Writer:
    """Text table of the refined parameters."""

    def write(path: Path) -> None:
        width = max(len(n) for n in result.parameter_names)
        lines = [f"{'Parameter':<{width}}  {'Value':>16}  {'Sigma':>14}"]
        for name, value, esd in zip(
            result.parameter_names, result.parameter_values, result.parameter_esds, strict=True
        ):
            lines.append(f"{name:<{width}}  {value:16.8f}  {esd:14.8f}")
        lines.append(
            "Angles in mrad, shifts and distances in mm, elements of the reciprocal metric in 1e-5/A^2, nu in 1/A"
        )
        path.write_text("\n".join(lines) + "\n")

    return write


def centroid_writer(table: ReflectionTable) -> Writer:
    """Text table of observed and calculated centroids of the reflections used."""
    used = table.select(table.has_flags(Flag.USED_IN_REFINEMENT))

    def write(path: Path) -> None:
        header = "H K L  Frame_Obs  X_Obs  Y_Obs  Phi_Obs  X_Calc  Y_Calc  Phi_Calc (mm, mm, radians)"
        hkl, px = used["miller_index"], used["xyzobs.px.value"]
        body = np.column_stack([hkl, px[:, 2], used["xyzobs.mm.value"], used["xyzcal.mm"]])
        np.savetxt(path, body, fmt="%4d %4d %4d %10.4f %11.6f %11.6f %11.7f %11.6f %11.6f %11.7f", header=header)

    return write


def correlation_writer(
    results: list[RefinementResult], columns: Sequence[str] | None, steps: Sequence[int] | None, name: str
) -> dict[str, Writer]:
    """Correlation matrices: one JSON file, or one picture (HTML) per step asked for.

    Raises
    ------
    ParameterError
        If the file type is none of these, or columns or steps do not exist.

    """
    result = results[-1]
    suffix = Path(name).suffix.lower()
    if suffix not in (".json", ".html"):
        raise ParameterError(
            f"output.correlation_plot.filename={name}: only .html (interactive picture) and .json (numbers) are "
            f"written; pictures as "
            "pixels can be saved from the .html"
        )
    keep = list(range(len(result.parameter_names)))
    if columns:
        keep = [i for i in keep if any(result.parameter_names[i].startswith(c) for c in columns)]
        if not keep:
            raise ParameterError(
                f"output.correlation_plot.col_select={' '.join(columns)}: no parameter starts so; there are "
                f"{', '.join(result.parameter_names)}"
            )
    last = len(result.steps) - 1
    wanted = [last] if steps is None else list(steps)
    bad = [s for s in wanted if s > last]
    if bad:
        raise ParameterError(f"output.correlation_plot.steps={bad[0]}: refinement made {last} steps")
    writers: dict[str, Writer] = {}
    for step in wanted:
        matrix = result.steps[step].journal.get("parameter_correlation")
        if matrix is None:
            sd = np.sqrt(np.maximum(np.diag(result.covariance), 1e-300))
            matrix = result.covariance / np.outer(sd, sd)
        labels = [result.parameter_names[i] for i in keep]
        path = name if len(wanted) == 1 else str(Path(name).with_stem(f"{Path(name).stem}_{step}"))
        writers[path] = _matrix_writer(np.asarray(matrix)[np.ix_(keep, keep)], labels, suffix, step)
    return writers


def _matrix_writer(matrix: np.ndarray, labels: list[str], suffix: str, step: int) -> Writer:
    def write(path: Path) -> None:
        if suffix == ".json":
            path.write_text(json_text({"step": step, "parameters": labels, "correlation": matrix}) + "\n")
            return
        import plotly.graph_objects as go

        figure = go.Figure(go.Heatmap(z=matrix, x=labels, y=labels, zmin=-1, zmax=1, colorscale="RdBu"))
        figure.update_layout(title=f"Correlations between parameters, step {step}", yaxis_autorange="reversed")
        path.write_text(figure.to_html(include_plotlyjs=True))

    return write


def matches_writer(table: ReflectionTable) -> Writer:
    """Reflection table of the reflections used."""
    used = table.select(table.has_flags(Flag.USED_IN_REFINEMENT))

    def write(path: Path) -> None:
        from spindle.files import write_reflections

        write_reflections(used, path)

    return write
