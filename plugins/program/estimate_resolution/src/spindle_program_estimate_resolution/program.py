"""The program `estimate_resolution`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from spindle.contracts import Citation, Program, ProgramInputs, ProgramResult, hookimpl
from spindle.errors import ParameterError, UserError
from spindle.params import Ints, PathParam, Str
from spindle.params import Params as ParamsBase
from spindle.report import Table, json_text
from spindle.symmetry import space_group
from spindle_lib_merging import (
    ResolutionCurve,
    ResolutionMetrics,
    critical_correlation,
    read_unmerged,
    refuse_without_reference,
)
from spindle_lib_pages import Page
from spindle_lib_pages.figures import lines, resolution_ticks

from .limits import estimate, without_wilson_outliers
from .reference import read_merged

__all__ = ["EstimateResolution"]


class EstimateResolution(Program):
    """Find to which resolution data tell something.

    Give scaled experiments and reflections, or an unmerged MTZ file. Statistics of up to 100 shells (CC1/2, I/sigma, Rmerge,
    completeness, correlation with a reference) are followed by smooth curves; each metric with a limit gives the resolution at which its
    curve reaches it.

        spindle estimate_resolution scaled.expt scaled.refl
        spindle estimate_resolution unmerged.mtz misigma=2
    """

    citations = (
        Citation(
            "Karplus, P. A. & Diederichs, K.",
            2012,
            "Linking crystallographic model and data quality",
            "Science",
            "336",
            "1030-1033",
            "10.1126/science.1218231",
        ),
        Citation(
            "Evans, P. R. & Murshudov, G. N.",
            2013,
            "How good are my data and what is the resolution?",
            "Acta Cryst. D",
            "69",
            "1204-1214",
            "10.1107/S0907444913000061",
        ),
    )

    needs_columns = {"miller_index": "spindle scale writes it"}

    class Params(ParamsBase):
        """Metrics with their limits, and shells."""

        class resolution(ResolutionMetrics):
            """Metrics with their limits; None leaves one out."""

            batch_range = Ints(
                None, size=2,
                help="First and last batch that is looked at: batches of an MTZ file, or image numbers with the offset that a scan carries.",
            )  # fmt: skip

        class output(ParamsBase):
            """Files."""

            log = Str("spindle.estimate_resolution.log", none=True, help="Log file.")
            html = Str("spindle.estimate_resolution.html", none=True, help="Page with plots.")
            json = PathParam(None, none=True, help="Values, curves and limits as JSON.")

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Params, context: Any) -> ProgramResult:
        """Estimate; see `spindle.contracts.program.ProgramSpec`."""
        options = params.resolution
        refuse_without_reference(options)
        data = read_unmerged(inputs, "estimate_resolution", context.log, options.labels, "resolution.labels")
        if options.space_group is not None:
            data = replace(data, group=space_group(str(options.space_group)))
        if options.batch_range is not None:
            if data.batch is None:
                raise ParameterError(f"resolution.batch_range: {data.source} has no batches; leave it away")
            first, last = options.batch_range
            data = data.select(np.flatnonzero((data.batch >= first) & (data.batch <= last)))
            if not len(data.hkl):
                raise ParameterError(f"resolution.batch_range={first},{last}: no observation has such a batch")
        if options.emax:
            data, n = without_wilson_outliers(data, options.emax)
            if n:
                context.log.info("%d Wilson outliers with E^2 >= %g left out", n, options.emax**2)
        reference = None if options.reference is None else read_merged(Path(options.reference), data.cell, data.group)
        curves, statistics = estimate(data, options, reference)
        if not curves:
            raise UserError("estimate_resolution: every metric is switched off; give a limit, such as cc_half=0.3")
        d_min = statistics.overall.d_min
        rows = [
            [c.metric.label, c.limit, None if c.d_min is None else round(c.d_min, 3), _said(c, d_min)] for c in curves
        ]
        context.table(Table("Resolution limits", ["Metric", "Limit", "d_min (A)", ""], rows, "resolution_limits"))
        for curve in curves:
            if curve.d_min is not None:
                context.log.info("%s", f"Resolution {curve.metric.label}:".ljust(28) + f"{curve.d_min:18.2f}")
        known = [c.d_min for c in curves if c.d_min is not None]
        summary: dict[str, Any] = {"d_min_of_data": round(d_min, 4)}
        summary |= {c.metric.name: None if c.d_min is None else round(c.d_min, 4) for c in curves}
        files: dict[str, Any] = {}
        if params.output.json is not None:
            critical = _critical(statistics, options.cc_half_significance_level)
            text = json_text(
                {c.metric.name: _values(c) | (critical if c.metric.name == "cc_half" else {}) for c in curves}
            )
            files[str(params.output.json)] = lambda path: Path(path).write_text(text, encoding="utf-8")
        if params.output.html:
            tables = list(context.tables)
            level = options.cc_half_significance_level
            files[params.output.html] = lambda path: Path(path).write_text(
                _page(curves, tables, statistics, level), encoding="utf-8"
            )
        return ProgramResult(None, None, [], summary, files, _next(known, d_min))


def _said(curve: ResolutionCurve, d_min: float) -> str:
    if curve.d_min is None:
        return "too few shells" if not len(curve.fit) else "never on the good side"
    return "the data end there" if curve.d_min <= d_min * 1.0005 else ""


def _next(known: list[float], d_min: float) -> str:
    if not known:
        return "look at the plots: no metric reaches its limit, and the data may tell nothing"
    if max(known) <= d_min * 1.001:
        return "all data may be used; move the detector closer next time, if the metrics are far from their limits"
    return f"spindle scale symmetrized.expt symmetrized.refl d_min={max(known):.2f}, or spindle merge scaled.expt scaled.refl d_min={max(known):.2f}"


def _values(curve: ResolutionCurve) -> dict[str, Any]:
    """Plain values of a curve."""
    return {
        "x": curve.x.tolist(), "y": [_number(v) for v in curve.y], "fit": [_number(v) for v in curve.fit],
        "limit": curve.limit, "d_min": curve.d_min,
    }  # fmt: skip


def _critical(statistics: Any, level: float | None) -> dict[str, list[float | None]]:
    """What noise reaches by a chance of `level` in each shell; nothing without a level."""
    if not level:
        return {}
    return {"critical": [_number(critical_correlation(s.n_half, level)) for s in statistics.shells]}


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _page(curves: list[ResolutionCurve], tables: list[Table], statistics: Any, level: float | None) -> str:
    page = Page("Resolution")
    page.tables(tables)
    for curve in curves:
        drawn: list[Any] = [("observed", curve.x, curve.y)]
        if len(curve.fit):
            drawn.append(("fit", curve.x, curve.fit))
        if curve.metric.name == "cc_half" and level:
            drawn.append(("critical", curve.x, _critical(statistics, level)["critical"]))
        if curve.d_min is not None:
            low, high = float(np.nanmin(curve.y)), float(np.nanmax(curve.y))
            drawn.append((f"d_min = {curve.d_min:.2f} A", [curve.d_min**-2] * 2, [min(low, 0.0), high]))
        page.plot(lines(curve.metric.label, "", curve.metric.label, drawn, xaxis=resolution_ticks(curve.x)))
    return page.html()
