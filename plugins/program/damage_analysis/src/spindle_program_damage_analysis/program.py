"""The program `damage_analysis`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.errors import ParameterError, UserError
from spindle.params import Auto, Bool, Float, Int, Ints, PathParam
from spindle.params import Params as ParamsBase
from spindle.report import json_text
from spindle_lib_merging import Unmerged, read_unmerged, resolution_of
from spindle_lib_pages import text_writer
from spindle_lib_radiation_damage import ImageDoses

from .curves import DamageCurves, damage_curves, slope_of_rd, suggested_cut
from .doses import doses_of
from .outputs import Verdict, dose_table, page, record, sweep_table
from .series import Part, parts_of, series_files

__all__ = ["DamageAnalysis"]

#: More steps than this are no curve any more.
MOST_STEPS = 100_000
LEAST_OF_SWEEP = 50


class DamageAnalysis(Program):
    """Look for radiation damage in scaled data.

    Equivalents that were measured at different doses are compared. Rcp and Scp take all pairs up to a dose, Rd those whose doses differ by
    so much: damage makes Rd rise with the difference, and Scp above 1. Without anything said the dose of an observation is its image number
    in its own sweep, as if every crystal began fresh. Scaling hides what all reflections lose alike; what is seen here is what they lose
    differently.

        spindle damage_analysis scaled.expt scaled.refl
        spindle damage_analysis scaled.expt scaled.refl shared_crystal=True dose_per_image=2
        spindle damage_analysis scaled_unmerged.mtz
    """

    needs_columns = {"miller_index": "spindle integrate writes it"}

    class Params(ParamsBase):
        class dose(ParamsBase):
            """The dose of each observation."""

            class experiments(ImageDoses):
                """Of experiments and reflections."""

            remove_gaps = Bool(True, help="Count the batches of an MTZ file 0, 1, 2 ..., whatever numbers are missing.")

            class batch(ParamsBase, multiple=True):
                """Batches of an MTZ file and their doses; others are left out."""

                range = Ints(None, size=2, none=True, min=0, max=10_000_000, help="First and last batch.")
                dose_start = Float(None, min=0, none=True, help="Dose of the first.")
                dose_step = Float(None, min=0, none=True, help="What each adds.")

        class range(ParamsBase):
            """Doses of the curves."""

            width = Float(Auto, auto=True, min=1e-9, none=True, help="Step; Auto: the dose of an image.")
            min = Float(None, min=0, none=True, help="Leave out what has a smaller dose.")
            max = Float(None, min=0, none=True, help="Leave out what has a larger dose.")

        d_min = Float(None, min=0, none=True, units="angstrom", help="Resolution limit.")
        d_max = Float(None, min=0, none=True, units="angstrom", help="Low-resolution limit.")
        min_completeness = Float(
            None,
            min=0,
            max=1,
            none=True,
            help="Leave out the shells at high resolution that are less complete at the end.",
        )
        resolution_bins = Int(8, min=1, max=1000, none=True, help="Resolution shells, equal steps of 1/d^2.")
        anomalous = Bool(False, help="Keep Friedel mates apart.")
        by_sweep = Bool(False, help="Judge each sweep by itself, too.")

        class damage_series(ParamsBase):
            """Statistics of successive ranges of doses."""

            dose_group_size = Float(None, min=1e-9, none=True, help="Dose of a range; None makes none.")

        class output(ParamsBase):
            """Output files."""

            damage_series = Bool(False, help="Write damage_series_FIRST_LAST.expt and .refl of each range of doses.")
            accumulation_series = Bool(
                False, help="Write accumulation_series_0_LAST.expt and .refl of all doses up to each."
            )
            log = PathParam("spindle.damage_analysis.log", none=True, help="Log file.")
            html = PathParam("spindle.damage_analysis.html", none=True, help="Page with tables and plots.")
            json = PathParam(None, none=True, help="All curves.")

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Any, context: Any) -> ProgramResult:
        """Compare; see `spindle.contracts.program.ProgramSpec`."""
        whole = read_unmerged(inputs, "damage_analysis", context.log)
        dose, step, source = doses_of(whole, inputs.experiments, params, context.log)
        data, dose = _inside(whole, dose, params)
        width = step if params.range.width in (Auto, None) else float(params.range.width)
        low = params.range.min if params.range.min is not None else float(dose.min())
        if (n := (float(dose.max()) - low) / width) > MOST_STEPS:
            raise ParameterError(
                f"range.width={width:g}: makes {n:.0f} steps of the doses {low:g} to {dose.max():g}; at most {MOST_STEPS} are shown"
            )
        context.log.info("%d observations, doses %g to %g (%s)", len(dose), dose.min(), dose.max(), source)
        curves = self._curves(data, dose, width, low, params)
        if params.min_completeness is not None:
            data, dose = _complete(data, dose, curves, params.min_completeness, context.log)
            curves = self._curves(data, dose, width, low, params)
        verdict = _verdict(curves)
        sweeps = self._sweeps(data, dose, width, params, context) if params.by_sweep else []
        shown = [dose_table(curves)]
        if sweeps:
            shown.append(sweep_table(sweeps))
        for table in shown:
            context.table(table)
        series = self._series(data, dose, params)
        log = context.log.warning if verdict.cut is not None else context.log.info
        log("%s", verdict.text)
        files: dict[str, Callable[[Path], None]] = {}
        if params.output.json is not None:
            files[str(params.output.json)] = text_writer(json_text(record(curves, verdict, sweeps), 1) + "\n")
        if params.output.html is not None:
            tables = [dose_table(curves, None), *shown[1:]]
            files[str(params.output.html)] = text_writer(page(curves, verdict, sweeps, tables, source, series))
        files |= self._files(inputs, params, series, context)
        summary: dict[str, Any] = {
            "n_observations": len(dose), "last_dose": float(dose.max()), "rcp": _number(curves.rcp[-1]), "scp": _number(curves.scp[-1]),
            "rise_of_rd": _number(verdict.growth), "suggested_last_dose": verdict.cut,
        }  # fmt: skip
        return ProgramResult(files=files, summary=summary, next_step=_next(verdict, inputs, params))

    def _curves(self, data: Unmerged, dose: np.ndarray, width: float, low: float, params: Any) -> DamageCurves:
        return damage_curves(data, dose, width, params.resolution_bins or 8, params.anomalous, low)

    def _sweeps(
        self, data: Unmerged, dose: np.ndarray, width: float, params: Any, context: Any
    ) -> list[tuple[int, DamageCurves, Verdict]]:
        if data.sweep is None:
            raise ParameterError(
                "by_sweep=True: an MTZ file does not tell its sweeps; give experiments and reflections"
            )
        found = []
        for i in np.unique(data.sweep).tolist():
            rows = np.flatnonzero(data.sweep == i)
            if len(rows) < LEAST_OF_SWEEP:
                context.log.info("Sweep %d has %d observations, too few to be judged by itself", i, len(rows))
                continue
            own = dose[rows]
            curves = self._curves(data.select(rows), own, width, float(own.min()), params)
            found.append((i, curves, _verdict(curves)))
        return found

    def _series(self, data: Unmerged, dose: np.ndarray, params: Any) -> dict[str, list[Part]]:
        size = params.damage_series.dose_group_size
        if size is None:
            for name in ("damage_series", "accumulation_series"):
                if getattr(params.output, name):
                    raise ParameterError(
                        f"output.{name}=True: needs damage_series.dose_group_size, the dose of a range"
                    )
            return {}
        return {
            "Successive doses": parts_of(data, dose, size, accumulated=False),
            "Doses from the beginning": parts_of(data, dose, size, accumulated=True),
        }

    def _files(
        self, inputs: ProgramInputs, params: Any, series: dict[str, list[Part]], context: Any
    ) -> dict[str, Callable[[Path], None]]:
        wanted = [n for n in ("damage_series", "accumulation_series") if getattr(params.output, n)]
        if not wanted:
            return {}
        if inputs.experiments is None:
            raise ParameterError(
                f"output.{wanted[0]}=True: only experiments and reflections are cut into files, not MTZ files"
            )
        table = inputs.reflections[0].without("shoebox")
        column = "xyzobs.px.value" if "xyzobs.px.value" in table else "xyzcal.px"
        empty = np.zeros(len(table))
        rows = Unmerged(
            table["miller_index"], empty, empty, None, np.zeros(6), inputs.experiments[0].known_crystal.space_group, "the table",
            np.maximum(table["id"].astype(np.int64), 0), table[column][:, 2],
        )  # fmt: skip
        dose, _, _ = doses_of(rows, inputs.experiments, params, context.log)
        dose = np.where(table["id"] >= 0, dose, np.nan)
        files: dict[str, Callable[[Path], None]] = {}
        for name, parts in zip(("damage_series", "accumulation_series"), series.values(), strict=True):
            if name in wanted:
                files |= series_files(inputs.experiments, table, dose, parts, name)
        return files


def _inside(data: Unmerged, dose: np.ndarray, params: Any) -> tuple[Unmerged, np.ndarray]:
    """The observations within the limits of dose and resolution."""
    d = resolution_of(data.hkl, data.cell)
    keep = np.isfinite(dose) & (dose >= 0)
    for limit, good in (
        ("range.min", dose >= (params.range.min if params.range.min is not None else -np.inf)),
        ("range.max", dose <= (params.range.max if params.range.max is not None else np.inf)),
        ("d_min", d >= (params.d_min or 0.0)), ("d_max", d <= (params.d_max or np.inf)),
    ):  # fmt: skip
        keep &= good
        if not keep.any():
            known = dose[np.isfinite(dose)]
            span = f"doses {known.min():g} to {known.max():g}, " if len(known) else ""
            raise UserError(
                f"damage_analysis: nothing is left within {limit}; the data have {span}resolutions {d.max():.2f} to {d.min():.2f} A"
            )
    rows = np.flatnonzero(keep)
    return data.select(rows), dose[rows]


def _complete(
    data: Unmerged, dose: np.ndarray, curves: DamageCurves, least: float, log: Any
) -> tuple[Unmerged, np.ndarray]:
    """Without the shells at high resolution that are not complete enough."""
    good = curves.completeness_shells[:, -1] >= least
    n = len(good) if good.all() else int(np.argmin(good))
    if n == 0:
        raise ParameterError(
            f"min_completeness={least:g}: the shell at the lowest resolution is {curves.completeness_shells[0, -1]:.2f} complete; set a "
            "smaller one"
        )
    limit = float(curves.edges[n])
    if n < len(good):
        log.info("Shells beyond %.2f A are less complete than min_completeness=%g and are left out", limit, least)
    rows = np.flatnonzero(resolution_of(data.hkl, data.cell) >= limit * (1 - 1e-9))
    return data.select(rows), dose[rows]


def _verdict(curves: DamageCurves) -> Verdict:
    return Verdict(curves, suggested_cut(curves), *slope_of_rd(curves))


def _number(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None


def _next(verdict: Verdict, inputs: ProgramInputs, params: Any) -> str:
    if verdict.cut is None:
        if not verdict.can_tell:
            return "nothing can be told of so few equivalents at different doses; process more images"
        return (
            "keep all images"
            if verdict.mood == "good"
            else "look at the page, and keep all images unless you know better"
        )
    if inputs.experiments is None:
        return f"leave out what was measured after dose {verdict.cut:g}, and scale again"
    if len(inputs.experiments) > 1 and params.dose.experiments.shared_crystal:
        return f"leave out the images after dose {verdict.cut:g} (exclude_images=SWEEP:FIRST:LAST), and scale again"
    per_image = params.dose.experiments.dose_per_image
    starts = params.dose.experiments.starting_doses
    if len(set(per_image)) == 1 and not any(starts or ()):
        last = max(1, int(verdict.cut / per_image[0]))
        ends = [e.scan.image_range[1] for e in inputs.experiments if e.scan is not None]
        return f"look at the page, then scale without the images after {last}: spindle scale <experiments> <reflections> exclude_images={last + 1}:{max(ends)}"
    return f"leave out the images after dose {verdict.cut:g}, and scale again"
