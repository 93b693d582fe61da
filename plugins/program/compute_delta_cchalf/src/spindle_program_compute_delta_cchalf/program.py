"""The program `compute_delta_cchalf`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spindle.contracts import Citation, Program, ProgramInputs, ProgramResult, hookimpl
from spindle.errors import UserError
from spindle.models import Experiments
from spindle.params import Choice, Float, Int, PathParam
from spindle.params import Params as ParamsBase
from spindle.report import Table
from spindle.table import BAD_FOR_SCALING, ReflectionTable
from spindle_lib_image_ranges import ImageRange
from spindle_lib_merging import group_equivalents, resolution_of
from spindle_lib_merging.delta_cc_half import (
    Units,
    delta_cc_half,
    from_the_ends,
    image_groups,
    shells_of_equal_steps,
    whole_sets,
)
from spindle_lib_pages import Page, text_writer
from spindle_lib_pages.figures import histogram, lines
from spindle_lib_selection.parts import Parts, join

__all__ = ["ComputeDeltaCchalf"]

MAX_ROWS = 100


@dataclass(slots=True)
class _Judged:
    """CC1/2 of all data, what each unit adds, which are below the cutoff and which of them go."""

    units: Units
    names: list[str]
    total: float
    delta: np.ndarray
    cutoff: float
    low: np.ndarray
    removed: np.ndarray


class ComputeDeltaCchalf(Program):
    """Find the data sets, or the groups of images, that lower CC1/2, and leave them out.

    CC1/2 is calculated with and without each data set of scaled data. One whose contribution lies more than `stdcutoff` standard
    deviations below the mean of all is removed; groups of images are removed from the ends of a sweep only.

        spindle compute_delta_cchalf scaled.expt scaled.refl
        spindle compute_delta_cchalf scaled.expt scaled.refl mode=image_group group_size=20
    """

    citations = (
        Citation(
            "Assmann, G. & Brehm, W. & Diederichs, K.",
            2016,
            "Identification of rogue datasets in serial crystallography",
            "J. Appl. Cryst.",
            "49",
            "1021-1028",
            "10.1107/S1600576716005471",
        ),
    )

    takes_files = False
    needs_columns = {
        "miller_index": "spindle integrate writes it", "intensity.scale.value": "spindle scale writes it",
        "inverse_scale_factor": "spindle scale writes it",
    }  # fmt: skip

    class Params(ParamsBase):
        mode = Choice(["dataset", "image_group"], default="dataset", help="What is judged.")
        group_size = Int(10, min=1, none=True, help="Images in a group.")
        nbins = Int(10, min=1, max=10_000, none=True, help="Resolution shells, equal steps of 1/d^2.")
        dmin = Float(None, min=0, none=True, units="angstrom", help="Resolution limit; by default that of the data.")
        dmax = Float(None, min=0, none=True, units="angstrom", help="Low-resolution limit.")
        stdcutoff = Float(4.0, none=True, help="Standard deviations below the mean from which on a part is removed.")
        partiality_threshold = Float(
            0.4, min=0, none=True, help="Leave out reflections recorded to a smaller fraction."
        )

        class mtz(ParamsBase):
            """Merged batches of an MTZ file."""

            batch_offset = Int(
                None, none=True, level=2, unavailable="experiments and reflections are read, not MTZ files",
                help="Difference between the batch numbers of two sweeps.",
            )  # fmt: skip

        class output(ParamsBase):
            """Output files."""

            experiments = PathParam("filtered.expt", none=True, help="Experiments that are left.")
            reflections = PathParam("filtered.refl", none=True, help="Their reflections.")
            table = PathParam("delta_cchalf.dat", none=True, help="Each part with what it adds, the worst first.")
            html = PathParam("spindle.compute_delta_cchalf.html", none=True, help="Page with tables and plots.")
            log = PathParam("spindle.compute_delta_cchalf.log", none=True, help="Log file.")

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Any, context: Any) -> ProgramResult:
        """Judge and remove; see `spindle.contracts.program.ProgramSpec`."""
        experiments = inputs.experiments
        if not experiments or not inputs.reflections:
            raise UserError(
                "compute_delta_cchalf: give scaled data: spindle compute_delta_cchalf scaled.expt scaled.refl"
            )
        table = join(inputs.reflections)
        assert table is not None
        judged = _judge(experiments, table, params)
        order = np.argsort(judged.delta, kind="stable")
        rows = [
            [judged.names[i], round(100 * float(judged.delta[i]), 4), _verdict(judged, int(i))] for i in order.tolist()
        ]
        title = f"CC1/2 is {100 * judged.total:.3f} %; what each part adds"
        shown = Table(title, ["Part", "Delta CC1/2 (%)", ""], rows, "delta_cc_half")
        context.table(Table(title, shown.headers, rows[:MAX_ROWS], shown.key))
        context.log.info(
            "mean %.4f %%, standard deviation %.4f %%, cutoff %.4f %%",
            100 * judged.delta.mean(), 100 * judged.delta.std(), 100 * judged.cutoff,
        )  # fmt: skip
        kept, left = _left(experiments, table, judged)
        files: dict[str, Callable[[Path], None]] = {}
        if params.output.table is not None:
            text = "".join(f"{judged.names[i]} {judged.delta[i]:.6f}\n" for i in order.tolist())
            files[str(params.output.table)] = text_writer(text)
        if params.output.html is not None:
            files[str(params.output.html)] = text_writer(_page(judged, shown, params))
        n_removed = int(judged.removed.sum())
        following = f"spindle scale {params.output.experiments} {params.output.reflections}"
        return ProgramResult(
            experiments=kept, reflections=left, files=files,
            summary={
                "cc_half": round(float(judged.total), 6), "cutoff": round(float(judged.cutoff), 6),
                "n_parts": len(judged.names), "n_removed": n_removed,
                "removed": [judged.names[i] for i in np.flatnonzero(judged.removed)],
            },
            next_step=following if n_removed else f"nothing lowers CC1/2 by much; spindle merge {params.output.experiments} {params.output.reflections}",
        )  # fmt: skip


def _judge(experiments: Experiments, table: ReflectionTable, params: Any) -> _Judged:
    ids = np.asarray(table["id"], dtype=np.int64)
    scale = table["inverse_scale_factor"]
    use = (ids >= 0) & (scale > 0) & ~table.has_flags(BAD_FOR_SCALING, all=False)
    if "partiality" in table and params.partiality_threshold is not None:
        use &= table["partiality"] >= params.partiality_threshold
    crystals = [e.crystal for e in experiments]
    if any(c is None for c in crystals):
        raise UserError("compute_delta_cchalf: an experiment has no crystal; give the files of spindle scale")
    groups = {c.space_group.xhm() for c in crystals if c is not None}
    if len(groups) > 1:
        raise UserError(
            f"compute_delta_cchalf: the crystals are in {', '.join(sorted(groups))}; scale them in one group"
        )
    cell = np.mean([c.cell for c in crystals if c is not None], axis=0)
    rows = np.flatnonzero(use)
    hkl = table["miller_index"][rows]
    d = resolution_of(hkl, cell)
    shell = shells_of_equal_steps(d, params.nbins or 10, params.dmin, params.dmax) if len(rows) else np.zeros(0, int)
    inside = (shell >= 0) & (shell < (params.nbins or 10))
    rows, hkl, shell = rows[inside], hkl[inside], shell[inside]
    if not len(rows):
        raise UserError(
            f"compute_delta_cchalf: none of {len(table)} reflections is scaled and lies within dmin={params.dmin}, "
            f"dmax={params.dmax}; give the files of spindle scale"
        )
    number = ids[rows]
    by_image = params.mode == "image_group"
    if by_image:
        column = "xyzobs.px.value" if "xyzobs.px.value" in table else "xyzcal.px"
        of = [np.flatnonzero(number == k) for k in range(len(experiments))]
        units = image_groups(experiments, of, table[column][rows, 2], params.group_size or 10)
    else:
        units = whole_sets(experiments, number)
    if len(units.ranges) < 2:
        other = "a smaller group_size=" if by_image else "mode=image_group"
        raise UserError(f"compute_delta_cchalf: there is one part, which cannot be left out; set {other}")
    value = table["intensity.scale.value"][rows] / scale[rows]
    group = group_equivalents(hkl, crystals[0].space_group).index  # type: ignore[union-attr]
    first = np.zeros(int(group.max()) + 1, dtype=np.int64)
    first[group] = shell
    total, delta = delta_cc_half(value, group, first[group], units.unit, len(units.ranges), params.nbins or 10)
    present = np.bincount(units.unit, minlength=len(units.ranges)) > 0
    known = delta[present & np.isfinite(delta)]
    if not np.isfinite(total) or not len(known):
        raise UserError(
            "compute_delta_cchalf: hardly a reflection was measured more than once, so that there is no CC1/2; more data are "
            "needed"
        )
    delta = np.where(np.isfinite(delta), delta, known.mean())
    cutoff = -np.inf if params.stdcutoff is None else float(known.mean() - params.stdcutoff * known.std())
    low = present & (delta < cutoff)
    removed = from_the_ends(low, units.ranges, set()) if by_image else low
    names = [f"{r.experiment}:{r.first}:{r.last}" if by_image else str(r.experiment) for r in units.ranges]
    return _Judged(units, names, float(total), delta, cutoff, low, removed)


def _left(
    experiments: Experiments, table: ReflectionTable, judged: _Judged
) -> tuple[Experiments, ReflectionTable | None]:
    """Without the parts that are removed; data sets of which nothing is left go as a whole."""
    gone: list[ImageRange] = [r for r, out in zip(judged.units.ranges, judged.removed, strict=True) if out]
    stay = {r.experiment for r, out in zip(judged.units.ranges, judged.removed, strict=True) if not out}
    keep = [i for i in range(len(experiments)) if i in stay]
    partial = [r for r in gone if r.experiment in stay]
    if partial:
        column = "xyzobs.px.value" if "xyzobs.px.value" in table else "xyzcal.px"
        image = np.floor(table[column][:, 2]).astype(np.int64) + 1
        out = np.zeros(len(table), dtype=np.bool_)
        for r in partial:
            out |= (table["id"] == r.experiment) & (image >= r.first) & (image <= r.last)
        table = table.select(~out)
    return Parts(experiments, table).take(keep)


def _verdict(judged: _Judged, i: int) -> str:
    if judged.removed[i]:
        return "removed"
    return "low, but not at an end" if judged.low[i] else ""


def _page(judged: _Judged, table: Table, params: Any) -> str:
    page = Page("What each part adds to CC1/2", f"CC1/2 of all data is {100 * judged.total:.3f} %")
    removed = [judged.names[i] for i in np.flatnonzero(judged.removed)]
    page.text(
        f"Removed: {', '.join(removed)}." if removed else "Nothing is removed.", "doubtful" if removed else "good"
    )
    page.section("Plots")
    page.plot(histogram("Delta CC1/2", "delta CC1/2 (%)", 100 * judged.delta, 40))
    number = np.arange(len(judged.names))
    curves: list[Any] = [("all parts", number, 100 * judged.delta)]
    if np.isfinite(judged.cutoff):
        curves.append(("cutoff", [0, len(number) - 1], [100 * judged.cutoff] * 2))
    title = "Group of images" if params.mode == "image_group" else "Data set"
    ticks: dict[str, Any] = {}
    if len(number) <= 40:
        ticks = {"xaxis": {"tickvals": number, "ticktext": judged.names}}
    page.plot(lines("Delta CC1/2 of each part", title, "delta CC1/2 (%)", curves, **ticks))
    page.section("Parts")
    page.table(table)
    return page.html()
