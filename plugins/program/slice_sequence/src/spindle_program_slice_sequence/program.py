"""The program `slice_sequence`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.errors import ParameterError, UserError
from spindle.files import write_experiments, write_reflections
from spindle.models import Experiments, named_by_images, sliced
from spindle.params import Float, Int, Ints, PathParam
from spindle.params import Params as ParamsBase
from spindle.report import Table
from spindle.table import ReflectionTable
from spindle_lib_selection.parts import join

MAX_ROWS = 100


class Piece(NamedTuple):
    """Images of an experiment: their numbers, both included."""

    experiment: int
    first: int
    last: int


class SliceSequence(Program):
    """Cut sweeps to some of their images, with the models that vary from image to image and the reflections on these images.

    Reflections are kept where the centre of their spot is on one of the images. Those that belong to no experiment (spots that
    were not indexed) are left out. A piece is an experiment of its own, with an identifier made of that of the sweep and its images,
    so that pieces can be put together again with combine_experiments.

        spindle slice_sequence refined.expt refined.refl image_range=1,20
        spindle slice_sequence imported.expt block_size=10
    """

    takes_files = False

    class Params(ParamsBase):
        """Images to keep."""

        image_range = Ints(
            None,
            size=2,
            multiple=True,
            help="First and last image to keep, both included. Once: of all experiments; given again: of each experiment in turn, or of a "
            "single experiment several pieces.",
        )
        block_size = Float(
            None,
            min=0,
            units="degrees",
            help="Cut sweeps into pieces of about this rotation, as many as fit best; the last takes the images left over.",
        )
        exclude_images_multiple = Int(
            None,
            min=2,
            max=10_000_000,
            help="Leave out every image whose number is a multiple of this, and cut the sweep there.",
        )

        class output(ParamsBase):
            """What is written; names are by default those of the input with the images added."""

            reflections_filename = PathParam(
                None, help="Reflections; None: <input>_<first>_<last>.refl or <input>_sliced.refl."
            )
            experiments_filename = PathParam(
                None, help="Experiments; None: <input>_<first>_<last>.expt or <input>_sliced.expt."
            )
            log = PathParam("spindle.slice_sequence.log", none=True, help="Log file.")

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Any, context: Any) -> ProgramResult:
        """Cut; see `spindle.contracts.program.ProgramSpec`."""
        experiments = inputs.experiments
        if not experiments:
            raise UserError("slice_sequence: no experiments: give an experiment file, and its reflections")
        pieces = pieces_of(experiments, params)
        cut = sliced([experiments[p.experiment] for p in pieces], [(p.first, p.last) for p in pieces])
        numbers = [p.experiment for p in pieces]
        cut = named_by_images(cut, [experiments[i] for i in numbers], numbers)
        table = join(inputs.reflections)
        reflections = None if table is None else rows_of(table, cut, pieces, context)
        counts = [None] * len(pieces)
        if reflections is not None:
            counts = np.bincount(reflections["id"], minlength=len(pieces)).tolist()
        rows: list[list[Any]] = [
            [p.experiment, p.first, p.last, p.last - p.first + 1, n] for p, n in zip(pieces, counts, strict=True)
        ]
        if len(rows) > MAX_ROWS:
            rows = [*rows[:MAX_ROWS], [f"... {len(rows) - MAX_ROWS} more", None, None, None, None]]
        context.table(
            Table("Pieces", ["Experiment", "First image", "Last image", "Images", "Reflections"], rows, "pieces")
        )
        given = [params.output.experiments_filename, params.output.reflections_filename]
        default = [_name(inputs.sources, kind, pieces) for kind in (".expt", ".refl")]
        files: dict[str, Callable[[Path], None]] = {}
        if given[0] is None:
            files[default[0]] = partial(write_experiments, cut)
        if given[1] is None and reflections is not None:
            files[default[1]] = partial(write_reflections, reflections)
        names = [str(g or d) for g, d in zip(given, default, strict=True)][: 1 if reflections is None else 2]
        summary = {"n_experiments": len(cut), "n_reflections": 0 if reflections is None else len(reflections)}
        return ProgramResult(
            experiments=cut, reflections=reflections, files=files, summary=summary, next_step=_next_step(cut, names)
        )


def pieces_of(experiments: Experiments, params: Any) -> list[Piece]:
    """The images that are kept, experiment by experiment.

    Raises
    ------
    ParameterError
        If nothing is asked for, or images that are not there.
    """
    ranges = params.image_range
    if not ranges and params.block_size is None and params.exclude_images_multiple is None:
        raise ParameterError(
            "slice_sequence: which images? Give image_range=first,last, block_size=degrees or exclude_images_multiple=n"
        )
    if len(ranges) > 1 and len(experiments) > 1 and len(ranges) != len(experiments):
        raise ParameterError(
            f"image_range: {len(ranges)} ranges are given for {len(experiments)} experiments; give one for all, or one for each"
        )
    for number, experiment in enumerate(experiments):
        if experiment.scan is None:
            raise ParameterError(
                f"slice_sequence: experiment {number} has no scan, it is a still; spindle split_experiments writes some of many"
            )
    scans = [e.known_scan for e in experiments]
    pieces = [Piece(i, *s.image_range) for i, s in enumerate(scans)]
    if len(experiments) == 1 and ranges:
        pieces = [Piece(0, *r) for r in ranges]
    elif ranges:
        pieces = [Piece(i, *r) for i, r in enumerate(ranges * len(scans) if len(ranges) == 1 else ranges)]
    for piece in pieces:
        first, last = scans[piece.experiment].image_range
        if piece.last < piece.first or piece.first < first or piece.last > last:
            raise ParameterError(
                f"image_range={piece.first},{piece.last}: experiment {piece.experiment} has the images {first} to {last}; give a first and "
                "a last one of them"
            )
    if params.exclude_images_multiple is not None:
        pieces = [part for p in pieces for part in without_multiples(p, params.exclude_images_multiple)]
        if not pieces:
            raise ParameterError(f"exclude_images_multiple={params.exclude_images_multiple}: no image is left")
    if params.block_size is not None:
        pieces = [part for p in pieces for part in blocks(p, scans[p.experiment].oscillation_deg[1], params.block_size)]
    if len(set(pieces)) < len(pieces):
        raise ParameterError("image_range: a range is given twice")
    return pieces


def without_multiples(piece: Piece, n: int) -> list[Piece]:
    """What is left of some images without those whose number is a multiple of n."""
    left = [i for i in range(piece.first // n * n, piece.last + n + 1, n) if piece.first <= i <= piece.last]
    starts, ends = [piece.first, *(i + 1 for i in left)], [*(i - 1 for i in left), piece.last]
    return [Piece(piece.experiment, a, b) for a, b in zip(starts, ends, strict=True) if a <= b]


def blocks(piece: Piece, width_deg: float, size_deg: float) -> list[Piece]:
    """Images in blocks of about a rotation, the last with what is left over.

    Raises
    ------
    ParameterError
        If the images are stills.
    """
    if width_deg < 1e-7 or size_deg <= 0:
        raise ParameterError(
            f"block_size={size_deg:g}: experiment {piece.experiment} has images of {width_deg:g} deg; blocks of a rotation need "
            "images that were rotated, and a size above 0"
        )
    n_images = piece.last - piece.first + 1
    n = int(np.clip(round(n_images * width_deg / size_deg), 1, n_images))
    starts = [piece.first + k * (n_images // n) for k in range(n)]
    return [Piece(piece.experiment, a, b - 1) for a, b in zip(starts, [*starts[1:], piece.last + 1], strict=True)]


def rows_of(table: ReflectionTable, cut: Experiments, pieces: list[Piece], context: Any) -> ReflectionTable:
    """The reflections on the images of each piece, which get its number.

    Raises
    ------
    UserError
        If the table does not say where its reflections are.
    """
    column = next((name for name in ("xyzobs.px.value", "xyzcal.px") if name in table), None)
    if column is None or "id" not in table:
        raise UserError("slice_sequence: the reflections have no column id, xyzobs.px.value or xyzcal.px")
    z = table[column][:, 2]
    by_experiment = table.rows_by_experiment()
    none = np.zeros(0, np.int64)
    parts = []
    ascending = {i: rows[np.argsort(z[rows], kind="stable")] for i, rows in by_experiment.items()}
    for piece in pieces:
        rows = ascending.get(piece.experiment, none)
        here = slice(*np.searchsorted(z[rows], [piece.first - 1, piece.last]))
        parts.append(np.sort(rows[here]))
    rows = np.concatenate(parts) if parts else none
    result = table.select(rows)
    result["id"] = np.repeat(np.arange(len(pieces)), [len(p) for p in parts]).astype(np.int32)
    if "imageset_id" in result:
        places = {id(s): k for k, s in enumerate(cut.unique("imageset"))}
        numbers = np.array([places.get(id(e.imageset), -1) for e in cut], np.int32)
        result["imageset_id"] = numbers[result["id"]]
    result.identifiers = dict(cut.identifiers)
    strays = int(np.count_nonzero(table["id"] < 0))
    if strays:
        context.log.info("%d reflections belong to no experiment (they are not indexed) and are left out", strays)
    return result


def _name(sources: list[Path], suffix: str, pieces: list[Piece]) -> str:
    """Name of an output after the input of the same kind."""
    stem = next((p.name.removesuffix(suffix) for p in sources if p.name.endswith(suffix)), "sliced")
    ranges = {(p.first, p.last) for p in pieces}
    if len(ranges) == 1:
        ((first, last),) = ranges
        return f"{stem}_{first}_{last}{suffix}"
    return f"{stem}_sliced{suffix}" if stem != "sliced" else f"sliced{suffix}"


def _next_step(experiments: Experiments, names: list[str]) -> str:
    files = " ".join(names)
    if all(e.crystal is None for e in experiments):
        return f"spindle {'find_spots' if len(names) == 1 else 'index'} {files}"
    return f"spindle {'show' if len(names) == 1 else 'refine'} {files}"
