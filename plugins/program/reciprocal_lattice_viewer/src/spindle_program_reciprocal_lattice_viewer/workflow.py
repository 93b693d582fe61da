"""From experiments and reflections to a page."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from spindle.contracts import ProgramInputs, ProgramResult
from spindle.errors import UserError
from spindle.models import Experiments
from spindle.report import Table
from spindle_lib_reciprocal_view.meta import aligned, as_asked, meta_of
from spindle_lib_reciprocal_view.page import page_writer
from spindle_lib_reciprocal_view.points import INTEGRATED_BIT, Points, points_of

if TYPE_CHECKING:
    from spindle.execution import RunContext

__all__ = ["make_page"]

MOST_ROWS = 40
HEAVY = 2_000_000  # points that make a page of more than 150 MB


def make_page(inputs: ProgramInputs, params: Any, context: RunContext) -> ProgramResult:
    """Make the page as the parameters say; see the program."""
    experiments = as_asked(_checked(inputs), params)
    points = points_of(experiments, inputs.reflections)
    if params.crystal_frame:
        points = aligned(experiments, points)
    _check_filters(points, params, context.log)
    meta = meta_of(experiments, points, params, _title(inputs), _files(inputs))
    counts = _report(experiments, points, context)
    if len(points.z) > HEAVY:
        context.log.warning(
            "The page has %d points: it is large and slow to load; give fewer reflections, for example those of fewer images",
            len(points.z),
        )
    context.log.info("Open %s in a browser", params.output.html)
    files = {str(params.output.html): page_writer(meta, points)}
    return ProgramResult(files=files, summary=counts)


def _checked(inputs: ProgramInputs) -> Experiments:
    if not inputs.experiments or not inputs.reflections:
        raise UserError(
            "reciprocal_lattice_viewer: give experiments and their spots, e.g. spindle reciprocal_lattice_viewer imported.expt strong.refl"
        )
    return inputs.experiments


def _check_filters(points: Points, params: Any, log: logging.Logger) -> None:
    """Say which filters have nothing to go by, and whether they leave nothing."""
    if (params.n_min or (params.n_max or 1_000_000) < 1_000_000) and not (points.pixels >= 0).any():
        log.warning(
            "n_min= and n_max= have no effect: the reflections do not tell their pixels (column n_signal or shoebox)"
        )
    if (params.partiality_min, params.partiality_max) != (None, None) and not (points.partiality >= 0).any():
        log.warning("partiality_min= and partiality_max= have no effect: the reflections have no partiality")
    within = np.linalg.norm(points.position, axis=1) <= (1.0 / params.d_min if params.d_min else np.inf)
    for values, low, high, known in (
        (points.z, params.z_min, params.z_max, np.ones(len(points.z), bool)),
        (points.pixels, params.n_min, params.n_max, points.pixels >= 0),
        (points.partiality, params.partiality_min, params.partiality_max, points.partiality >= 0),
    ):
        within &= ~known | (
            (values >= (-np.inf if low is None else low)) & (values <= (np.inf if high is None else high))
        )
    if len(within) and not within.any():
        log.warning(
            "The filters (d_min, z_min, z_max, n_min, n_max, partiality_min, partiality_max) hide all %d spots: the page opens empty until "
            "they are widened there or left out here",
            len(within),
        )


def _title(inputs: ProgramInputs) -> str:
    """The names of the reflection files."""
    names = [path.name for path in inputs.sources[-len(inputs.reflections) :]]
    return ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "") if names else "spots"


def _files(inputs: ProgramInputs) -> str:
    """The files of the command line."""
    return " ".join(path.name for path in inputs.sources) or "<experiments> <reflections>"


def _report(experiments: Experiments, points: Points, context: RunContext) -> dict[str, Any]:
    """Print how many spots each lattice has."""
    n = len(points.z)
    rows: list[list[Any]] = []
    for i, experiment in enumerate(experiments):
        own = points.lattice == i
        crystal = experiment.crystal
        if crystal is None:
            continue
        share = f"{100 * own.sum() / n:.1f}" if n else None
        cell = " ".join(f"{v:.2f}" for v in crystal.cell)
        integrated = int(((points.status & INTEGRATED_BIT) != 0)[own].sum())
        rows.append([i, crystal.space_group.xhm(), cell, int(own.sum()), share, integrated])
        if len(rows) == MOST_ROWS:
            break
    if rows:
        headers = ["Lattice", "Space group", "Cell (A, deg)", "spots", "% of all", "integrated"]
        context.table(Table("Lattices", headers, rows, "lattices"))
    without = int((points.lattice < 0).sum())
    context.log.info("%d spots, %d of them without lattice", n, without)
    return {"n_points": n, "n_without_lattice": without, "n_lattices": sum(e.crystal is not None for e in experiments)}
