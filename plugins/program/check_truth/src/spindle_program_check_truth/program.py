"""The program `spindle check_truth`."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.errors import UserError
from spindle.params import Auto, Int, PathParam, Str
from spindle.params import Params as ParamsBase
from spindle.report import Table
from spindle.table import Flag, ReflectionTable
from spindle_lib_comparison import (
    Agreement,
    Matches,
    best_match,
    compare_intensities,
    observed_intensities,
    read_truths,
)

from .judgement import doubts
from .overview import overview_table
from .picture import draw_picture
from .stills import match_stills, stills_table

__all__ = ["CheckTruth"]

# Columns that say that counts are corrected for tape or anvils.
CORRECTIONS = ("absorption_correction", "anvil_correction")
KINDS = (
    ("sum", "Summed counts against expected photons"),
    ("prf", "Profile-fitted counts against expected photons"),
    ("scale", "Scaled intensities against true |F|^2"),
)


class CheckTruth(Program):
    """Compare processed reflections with the truth of a simulated set.

    Give the folder that `spindle simulate` wrote, or any of its images, and the reflections (indexed, refined,
    integrated or scaled): `spindle check_truth simulated scaled.refl scaled.expt`. Reflections are matched by their
    predicted positions, so the choice of axes does not matter. A ratio of 1 is an unbiased intensity, an rms z of 1 an
    honest sigma. Beside the rms z of counts stands that of the photons that were drawn, which is not 1 in a shell of few reflections:
    strong spots, measured without noise of their own, can only repeat it.

    Several experiments are compared each with the sweep whose images it was made of (or that fits, when the images are
    not known) and with the crystal that fits; their intensities are compared together.

    Stills are compared each with the crystal of its image, with the experiments to tell which: positions, partialities, and the counts of
    all crystals together.

        spindle check_truth simulated scaled.refl scaled.expt
        spindle check_truth simulated integrated.refl integrated.expt
    """

    class Params(ParamsBase):
        """Comparison with the truth."""

        truth = PathParam(
            None, none=True, help="Folder with truth.json and truth.npz, when it is not given among the files."
        )
        lattice = Int(
            Auto,
            auto=True,
            min=0,
            help="Which of several simulated lattices; Auto is the one that fits, for each experiment.",
            level=1,
        )
        experiment = Int(Auto, auto=True, min=0, help="Which experiment of the reflections; Auto is all.", level=1)
        n_shells = Int(10, min=1, max=100, help="Number of resolution shells.")

        class output(ParamsBase):
            """Files."""

            picture = Str("check_truth.svg", help="Picture of recovered against true intensities; empty for none.")
            log = Str("spindle.check_truth.log", help="Log file.")

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Params, context: Any) -> ProgramResult:
        """Print tables and draw the picture."""
        if len(inputs.reflections) != 1:
            raise UserError(f"check_truth: needs one reflection file, got {len(inputs.reflections)}; e.g. scaled.refl")
        table = inputs.reflections[0]
        truths = read_truths(inputs.files, params.truth, params.lattice)
        numbers = _experiments(table) if params.experiment is Auto else [params.experiment]
        if not numbers:
            raise UserError(
                f"check_truth: none of the {len(table)} reflections belongs to an experiment; give a file with reflections that are "
                "indexed, e.g. integrated.refl or scaled.refl"
            )
        stills = any(truth.stills for truth in truths)
        if stills:
            matches, strangers = match_stills(table, numbers, truths, inputs.experiments)
            overview, one_by_one = stills_table(table, matches, strangers, truths, inputs.experiments)
        else:
            matches = {k: best_match(table, k, truths, inputs.experiments) for k in numbers}
            overview, one_by_one = overview_table(matches, inputs.experiments)
        tables = [overview]
        result = ProgramResult(summary={**one_by_one[0], "experiments": one_by_one})
        kinds: dict[str, dict[str, Any]] = {}
        compared, corrected = None, any(name in table for name in CORRECTIONS)
        for kind, title in KINDS:
            observed = observed_intensities(table, kind, stills)
            if observed is None:
                continue
            pairs = [_clean_pairs(table, observed, found, kind, corrected) for found in matches.values()]
            found, sigma, true, d, draw = (np.concatenate(columns) for columns in zip(*pairs, strict=True))
            if len(found) < 10 * params.n_shells:
                context.log.info("%s: only %d reflections, no table", title, len(found))
                continue
            agreement = compare_intensities(found, sigma, true, d, params.n_shells, fit_b=kind == "scale", draw=draw)
            tables.append(_shell_table(title, kind, agreement))
            kinds[kind] = result.summary[kind] = {name: _plain(value) for name, value in asdict(agreement).items()}
            compared = title, found, agreement.scale * true * np.exp(-0.5 * agreement.relative_b / d**2), agreement
        for one in tables:
            context.table(one)
        result.tables = tables
        result.summary["doubts"] = wrong = doubts(one_by_one, kinds)
        context.log.info("%s", f"Not as the truth has it: {'; '.join(wrong)}" if wrong else "As the truth has it.")
        result.next_step = _next(table, kinds, params.output.picture if compared is not None else "")
        if compared is not None and params.output.picture:
            title, found, true, agreement = compared
            svg = draw_picture(
                f"{title}: {agreement.n} reflections, CC {agreement.correlation:.5f}", found, true, agreement
            )
            result.files[params.output.picture] = partial(_write_text, svg)
        return result


def _next(table: ReflectionTable, kinds: dict[str, Any], picture: str) -> str:
    """The step that follows in the chain, or the picture."""
    if picture:
        return f"open {picture}"
    return (
        ""
        if kinds
        else "spindle integrate <experiments> <reflections>, then spindle check_truth of integrated.expt integrated.refl"
    )


def _experiments(table: ReflectionTable) -> list[int]:
    """Numbers of the experiments that have reflections."""
    return [int(k) for k in np.unique(table["id"]) if k >= 0] if "id" in table else [0]


def _clean_pairs(
    table: ReflectionTable,
    observed: tuple[np.ndarray, np.ndarray, np.ndarray],
    matches: Matches,
    kind: str,
    corrected: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Found intensity, sigma, true value, resolution and noise of the truth itself (n,) of usable reflections away from bad pixels.

    ``corrected``: the counts are for what tape and anvils take away. Reflections that were fitted and not summed lack images, on which the
    beam may have been lost: what is fitted to the others is compared with what the whole beam would give.
    """
    (intensity, sigma, usable), truth = observed, matches.truth
    keep = usable[matches.rows] & truth.at(truth.clean, matches.truth_rows)
    rows, true_rows = matches.rows[keep], matches.truth_rows[keep]
    if kind == "scale":
        unknown = np.full(len(rows), np.nan)
        return intensity[rows], sigma[rows], truth.intensity[true_rows], truth.d[true_rows], unknown
    true = truth.counts[true_rows]
    draw = (truth.drawn[true_rows] - true) / np.sqrt(np.maximum(true, 1e-9))
    if kind == "prf":
        # fits to a part of the images
        summed = (table["flags"][rows] & np.uint64(int(Flag.INTEGRATED_SUM))) != 0
        true = np.where(summed, true, truth.undimmed[true_rows])
    if corrected:
        true = true / np.maximum(truth.support[true_rows], 1e-9)
    return intensity[rows], sigma[rows], true, truth.d[true_rows], draw


def _shell_table(title: str, kind: str, a: Agreement) -> Table:
    headers = ["d (A)", "N", "<true>", "<I/sigma>", "found/true", "R", "<z>", "rms z"]
    tells = bool(np.isfinite(a.z_drawn).all())
    headers += ["of photons\ndrawn"] if tells else []
    rows: list[list[Any]] = [
        [
            f"{a.d_max[k]:.2f} - {a.d_min[k]:.2f}",
            int(a.number[k]),
            f"{a.mean[k]:.1f}",
            f"{a.signal[k]:.2f}",
            f"{a.ratio[k]:.4f}",
            f"{a.r[k]:.4f}",
            f"{a.z_mean[k]:.2f}",
            f"{a.z_rms[k]:.2f}",
            *([f"{a.z_drawn[k]:.2f}"] if tells else []),
        ]
        for k in range(len(a.ratio))
    ]
    rows.append(["all", a.n, "", "", "", f"{a.r_factor:.4f}", "", f"{a.rms_z:.2f}", *([""] if tells else [])])
    relative = f", relative B {a.relative_b:.2f} A^2" if kind == "scale" else ""
    return Table(f"{title}: CC {a.correlation:.5f}, scale {a.scale:.4f}{relative}", headers, rows, f"truth_{kind}")


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value


def _write_text(text: str, path: Path) -> None:
    path.write_text(text)
