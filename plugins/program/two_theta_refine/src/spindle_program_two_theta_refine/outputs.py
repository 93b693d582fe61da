"""Tables, CIF, mmCIF and p4p files, and correlations."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spindle.errors import ParameterError
from spindle.models import Experiments
from spindle.report import Table, json_text

if TYPE_CHECKING:
    from spindle.execution import RunContext

    from .workflow import CellResult

__all__ = ["check_outputs", "files_of", "report", "with_esd"]

Writer = Callable[[Path], None]

NAMES = ("a", "b", "c", "alpha", "beta", "gamma", "volume")
CIF_NAMES = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma", "volume")
MOST_ROWS = 40
MADE_BY = f"Spindle {version('spindle-program-two-theta-refine')}"


def with_esd(value: float, esd: float) -> str:
    """A number with its standard deviation in units of its last digit, by the rule of 19 of Acta Crystallographica."""
    if not esd > 0:
        return f"{value:.4f}".rstrip("0").rstrip(".")
    digits = int(np.floor(-np.log10(esd))) + 2  # two digits of the standard deviation
    if round(esd * 10.0**digits) > 19:
        digits -= 1
    shown = max(digits, 0)
    return f"{value:.{shown}f}({round(esd * 10.0**shown)})"


def check_outputs(output: Any, n_crystals: int) -> None:
    """Raise for files that cannot be written as they are asked for."""
    from spindle_lib_pictures.figures import suffix_of

    if output.p4p is not None and n_crystals > 1:
        raise ParameterError(
            f"output.p4p={output.p4p}: such a file holds one cell, there are {n_crystals} crystals; leave it out, or refine one cell for all "
            "with combine_crystal_models=True"
        )
    plot = output.correlation_plot
    if plot.filename is not None:
        suffix_of(plot.filename, "output.correlation_plot.filename", ".pdf")


def report(results: list[CellResult], context: RunContext) -> None:
    """Print residuals, steps and cells."""
    several = len(results) > 1
    first = np.concatenate([r.fit.residuals for r in results])
    quantiles = np.rad2deg(np.quantile(first, [0.0, 0.25, 0.5, 0.75, 1.0]))
    context.table(
        Table(
            f"Residuals of {len(first)} reflections after refinement", ["", "Min", "Q1", "Med", "Q3", "Max"],
            [["2theta_c - 2theta_o (deg)", *(f"{v:.4g}" for v in quantiles)]], "two_theta_residuals",
        )
    )  # fmt: skip
    for number, result in enumerate(results[:MOST_ROWS]):
        of = f" of crystal {number}" if several else ""
        rows = [[step, len(result.hkl), f"{np.rad2deg(rmsd):.5g}"] for step, rmsd in enumerate(result.fit.rmsds)]
        if not several:
            context.table(Table("Refinement steps", ["Step", "Nref", "RMSD_2theta\n(deg)"], rows, "refinement_steps"))
            if len(result.experiments) > 1:
                context.table(_by_experiment(result))
            if len(result.names) > 1:
                correlations = [
                    [name, *(f"{v:.3f}" for v in row)]
                    for name, row in zip(result.names, result.fit.correlations[-1], strict=True)
                ]
                title = "Correlations of the refined elements of the reciprocal metric"
                context.table(Table(title, ["", *result.names], correlations, "correlations"))
        before = [*result.crystal.cell, result.crystal.volume]
        cells = [
            [name, f"{v:.5f}", f"{s:.5f}" if s else None, f"{b:.5f}"]
            for name, v, s, b in zip(NAMES, result.values, result.sd, before, strict=True)
        ]
        title = f"Cell{of}, {result.crystal.space_group.xhm()}, from {len(result.hkl)} reflections (A, deg, A^3)"
        context.table(Table(title, ["Parameter", "Value", "Estimated sd", "before"], cells, "refined_cell"))
    if len(results) > MOST_ROWS:
        context.log.info("... and %d crystals more, which are in the files", len(results) - MOST_ROWS)
    for number, result in enumerate(results[:MOST_ROWS]):
        of = f" of crystal {number}" if several else ""
        text = ", ".join(f"{name} {with_esd(v, s)}" for name, v, s in zip(NAMES, result.values, result.sd, strict=True))
        context.log.info("Refined cell%s: %s", of, text)
    context.log.info("An error of the wavelength or of the distance is not in these standard deviations")


def _by_experiment(result: CellResult) -> Table:
    rows = []
    for number in result.experiments[:MOST_ROWS]:
        own = result.fit.residuals[result.ids == number]
        rms = f"{np.rad2deg(np.sqrt(np.mean(own**2))):.5g}" if len(own) else None
        mean = f"{np.rad2deg(np.mean(own)):.4g}" if len(own) else None
        rows.append([number, len(own), rms, mean])
    return Table(
        "RMSDs by experiment", ["Exp\nid", "Nref", "RMSD_2theta\n(deg)", "mean\n(deg)"], rows, "rmsd_by_experiment"
    )


def files_of(results: list[CellResult], experiments: Experiments, output: Any) -> dict[str, Writer]:
    """Writers of the files that were asked for."""
    files: dict[str, Writer] = {}
    if output.cif is not None:
        files[str(output.cif)] = _writer(_cif(results))
    if output.mmcif is not None:
        files[str(output.mmcif)] = _writer(_mmcif(results))
    if output.p4p is not None:
        files[str(output.p4p)] = _writer(_p4p(results[0], experiments[results[0].experiments[0]].beam.wavelength))
    if output.correlation_plot.filename is not None:
        files.update(_correlations(results, output.correlation_plot))
    return files


def _writer(text: str) -> Writer:
    def write(path: Path) -> None:
        path.write_text(text, encoding="utf-8")

    return write


def _block_name(number: int, n: int) -> str:
    return "two_theta_refine" if n == 1 else f"two_theta_refine_{number}"


def _ranges(result: CellResult) -> dict[str, str]:
    """Range of theta (degrees) and of the indices."""
    theta = np.rad2deg(0.5 * result.two_theta)
    limits = {"theta_min": f"{theta.min():.4f}", "theta_max": f"{theta.max():.4f}"}
    for letter, values in zip("hkl", result.hkl.T, strict=True):
        limits[f"limit_{letter}_min"], limits[f"limit_{letter}_max"] = str(values.min()), str(values.max())
    return limits


def _cif(results: list[CellResult]) -> str:
    """The cells for small molecules (core dictionary)."""
    from gemmi import cif

    document = cif.Document()
    for number, result in enumerate(results):
        block = document.add_new_block(_block_name(number, len(results)))
        items = {"audit_creation_method": cif.quote(MADE_BY)}
        items["audit_creation_date"] = datetime.date.today().isoformat()
        for name, value, sd in zip(CIF_NAMES, result.values, result.sd, strict=True):
            items[f"cell_{name}"] = with_esd(float(value), float(sd))
        limits, n = _ranges(result), str(len(result.hkl))
        items["cell_measurement_reflns_used"] = n
        items |= {f"cell_measurement_{k}": limits[k] for k in ("theta_min", "theta_max")}
        items["diffrn_reflns_number"] = n
        items |= {f"diffrn_reflns_{k}": v for k, v in limits.items() if k.startswith("limit")}
        items |= {f"diffrn_reflns_{k}": limits[k] for k in ("theta_min", "theta_max")}
        for name, text in items.items():
            block.set_pair(f"_{name}", text)
    return _aligned(document)


def _mmcif(results: list[CellResult]) -> str:
    """The cells for macromolecules (mmCIF dictionary)."""
    from gemmi import cif

    document = cif.Document()
    for number, result in enumerate(results):
        name = _block_name(number, len(results))
        block = document.add_new_block(name)
        items = {"audit.revision_id": "1", "audit.creation_method": cif.quote(MADE_BY)}
        items |= {"audit.creation_date": datetime.date.today().isoformat(), "entry.id": name, "cell.entry_id": name}
        for part, value, sd in zip(CIF_NAMES, result.values, result.sd, strict=True):
            digits = 6 if part == "volume" else 8
            items[f"cell.{part}"] = f"{value:.{digits}f}"
            items[f"cell.{part}_esd"] = f"{sd:.{digits}f}"
        limits, n = _ranges(result), str(len(result.hkl))
        items |= {"cell_measurement.entry_id": name, "cell_measurement.reflns_used": n}
        items |= {f"cell_measurement.{k}": limits[k] for k in ("theta_min", "theta_max")}
        items |= {"exptl_crystal.id": "1", "diffrn.id": name, "diffrn.crystal_id": "1", "diffrn_reflns.diffrn_id": name}
        items["diffrn_reflns.number"] = n
        items |= {f"diffrn_reflns.{k}": v for k, v in limits.items() if k.startswith("limit")}
        items |= {f"diffrn_reflns.{k}": limits[k] for k in ("theta_min", "theta_max")}
        for key, text in items.items():
            block.set_pair(f"_{key}", text)
    return _aligned(document)


def _aligned(document: Any) -> str:
    """The text of a CIF document with its values below each other."""
    from gemmi import cif

    options = cif.WriteOptions()
    options.align_pairs = 33
    return str(document.as_string(options))


def _p4p(result: CellResult, wavelength: float) -> str:
    lines = [
        f"TITLE    Cell refined by two_theta_refine of {MADE_BY}",
        "CELL     " + " ".join(f"{v:.4f}" for v in result.values),
        "CELLSD   " + " ".join(f"{v:.4f}" for v in result.sd),
        f"SOURCE   SYNCH   {wavelength:.6f}",
    ]
    return "\n".join(lines) + "\n"


def _correlations(results: list[CellResult], plot: Any) -> dict[str, Writer]:
    """Plots of the correlations at the steps asked for, and their numbers."""
    from spindle_lib_pictures.figures import correlation_figure, save_figure, suffix_of

    labels = [f"Crystal{i}{name}" if len(results) > 1 else name for i, r in enumerate(results) for name in r.names]
    keep = _columns(labels, plot.col_select)
    n_steps = max(len(r.fit.correlations) for r in results)
    steps = [n_steps - 1] if plot.steps is None else list(plot.steps)
    beyond = [s for s in steps if s >= n_steps]
    if beyond:
        raise ParameterError(
            f"output.correlation_plot.steps={beyond[0]}: the refinement ended with step {n_steps - 1}, counted from 0"
        )
    kind = suffix_of(plot.filename, "output.correlation_plot.filename", ".pdf")
    root = plot.filename.with_suffix("")
    shown = [labels[i] for i in keep]
    files: dict[str, Writer] = {}
    for step in steps:
        matrix = _joint(results, step)[np.ix_(keep, keep)]
        name = f"{root}_step{step:02d}" if len(steps) > 1 else str(root)

        def draw(path: Path, matrix: np.ndarray = matrix, step: int = step) -> None:
            save_figure(correlation_figure(matrix, shown, f"correlations of the metric, step {step}"), path, kind)

        files[f"{name}_2theta{kind}"] = draw
        files[f"{name}.json"] = _writer(json_text({"corrmats": {"2theta": matrix}, "labels": shown}) + "\n")
    return files


def _columns(labels: list[str], wanted: tuple[str, ...] | None) -> list[int]:
    """Positions of the parameters that are to be shown."""
    if not wanted:
        return list(range(len(labels)))
    keep = [
        i
        for i, label in enumerate(labels)
        if any(str(i) == w or (not w.isdigit() and label.startswith(w)) for w in wanted)
    ]
    if not keep:
        raise ParameterError(
            f"output.correlation_plot.col_select={' '.join(wanted)}: no parameter is called so; there are {', '.join(labels)}"
        )
    return keep


def _joint(results: list[CellResult], step: int) -> np.ndarray:
    """Correlations of all parameters at a step, or the last one of cells that needed fewer; those of two crystals are 0."""
    sizes = [len(r.names) for r in results]
    joint = np.zeros((sum(sizes), sum(sizes)))
    first = 0
    for size, result in zip(sizes, results, strict=True):
        steps = result.fit.correlations
        joint[first : first + size, first : first + size] = steps[min(step, len(steps) - 1)]
        first += size
    return joint
