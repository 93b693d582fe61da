"""The program `detect_blanks`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.errors import UserError
from spindle.models import Scan
from spindle.params import Bool, Float, PathParam
from spindle.params import Params as ParamsBase
from spindle.report import Table
from spindle_lib_selection.parts import Parts, join

from .analysis import Profile, analyse, edges_of
from .outputs import described, json_writer, plot_writer

MAX_ROWS = 200


class DetectBlanks(Program):
    """Find images on which there is no diffraction, or hardly any.

    Strong spots, indexed spots and the mean I/sigma of integrated reflections are followed along each scan, in steps of a rotation; where
    they fall below a fraction of their largest value the images may be blank: the beam was off, or the crystal out of it.

        spindle detect_blanks imported.expt strong.refl
        spindle detect_blanks integrated.expt integrated.refl plot=True
    """

    takes_files = False
    needs_columns = {"xyzobs.px.value": "spindle find_spots writes it", "flags": "spindle find_spots writes it"}

    class Params(ParamsBase):
        """What counts as blank."""

        phi_step = Float(2.0, min=0, units="degrees", help="Rotation of a step; 0 takes single images.")
        counts_fractional_loss = Float(
            0.1,
            min=0,
            max=1,
            help="Images are blank where there are at most this fraction of the most spots of any step.",
        )
        misigma_fractional_loss = Float(
            0.1,
            min=0,
            max=1,
            help="Images are blank where the mean I/sigma is at most this fraction of the largest of any step.",
        )

        class output(ParamsBase):
            """What is written."""

            json = PathParam("blanks.json", none=True, help="Steps with their values, and blank regions.")
            plot = Bool(False, help="Draw the steps, to blanks.png (named after the JSON file).")
            log = PathParam("spindle.detect_blanks.log", none=True, help="Log file.")

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Any, context: Any) -> ProgramResult:
        """Detect; see `spindle.contracts.program.ProgramSpec`."""
        experiments, table = inputs.experiments, join(inputs.reflections)
        if not experiments or table is None:
            raise UserError("detect_blanks: give experiments and their reflections, such as imported.expt strong.refl")
        if all(e.scan is None for e in experiments):
            raise UserError("detect_blanks: these are stills without a scan: there are no images in a row to compare")
        if "id" not in table:
            raise UserError("detect_blanks: the reflections have no column id, which tells their experiments apart")
        _check_steps(experiments.unique("scan"), params.phi_step, context)
        parts = Parts(experiments, table)
        scans: list[tuple[str, Sequence[Profile]]] = []
        rows: list[list[Any]] = []
        everything: list[dict[str, Any]] = []
        n_blank = 0
        for scan in experiments.unique("scan"):
            members = experiments.indices_with("scan", scan)  # several lattices on the same images
            own = parts.take(members)[1]
            assert own is not None
            found = analyse(own, scan, params)
            title = f"experiment {', '.join(map(str, members[:4]))}: " if len(experiments.unique("scan")) > 1 else ""
            for profile in found:
                context.log.info("%sAnalysis of %d %s reflections:", title, profile.n_reflections, profile.kind)
                for low, high in profile.regions:
                    context.log.info("Potential blank images: %d -> %d", low + 1, high)
                    rows.append([", ".join(map(str, members[:4])), profile.kind, low + 1, high, high - low])
            n_blank += _blank_images(found, scan)
            scans.append((title, found))
            everything.append(described(found))
        self._report(rows, n_blank, context)
        files: dict[str, Callable[[Path], None]] = {}
        if params.output.json is not None:
            content = everything[0] if len(everything) == 1 else {"scans": everything}
            files[str(params.output.json)] = json_writer(content)
        if params.output.plot:
            name = (params.output.json or Path("blanks.json")).with_suffix(".png")
            files[str(name)] = plot_writer(scans)
        next_step = ""
        if n_blank and len(scans) == 1:
            longest = _longest_good(scans[0][1], experiments.unique("scan")[0])
            if longest is not None:
                next_step = f"spindle slice_sequence <experiments> <reflections> image_range={longest[0]},{longest[1]}"
        return ProgramResult(
            files=files, summary={"n_blank_images": n_blank, "n_regions": len(rows)}, next_step=next_step
        )

    def _report(self, rows: list[list[Any]], n_blank: int, context: Any) -> None:
        if not rows:
            context.log.info("No image looks blank")
            return
        shown = rows[:MAX_ROWS]
        if len(rows) > MAX_ROWS:
            shown = [*shown, [f"... {len(rows) - MAX_ROWS} more", "", None, None, None]]
        headers = ["Experiment", "Reflections", "First image", "Last image", "Images"]
        context.table(Table("Images that may be blank", headers, shown, "blanks"))
        context.log.info(
            "%d images look blank by one count or another; look at some of them (spindle export_bitmaps)", n_blank
        )


def _check_steps(scans: Sequence[Scan], step_deg: float, context: Any) -> None:
    """Say which scans are a single step, that there is nothing to compare with.

    Raises
    ------
    UserError
        If all are.
    """
    single = [k for k, scan in enumerate(scans) if len(edges_of(scan, step_deg)) == 2]
    images = max(scans[k].n_images for k in single) if single else 0
    if len(single) == len(scans) and images == 1:
        raise UserError("detect_blanks: each scan is one image: there are no images in a row to compare")
    if len(single) == len(scans):
        raise UserError(
            f"detect_blanks: phi_step={step_deg:g} makes one step of all {images} images, which has nothing to be compared with; give less"
        )
    if single:
        names = ", ".join(map(str, single[:20]))
        context.log.warning(
            "Warning: scan(s) %s are one step of phi_step=%g each, with nothing to be compared with", names, step_deg
        )


def _marks(found: Sequence[Profile], scan: Scan) -> np.ndarray:
    """(n_images,) bool: whether an image is in any blank region."""
    marks = np.zeros(scan.n_images, np.bool_)
    for profile in found:
        for low, high in profile.regions:
            marks[low - scan.array_range[0] : high - scan.array_range[0]] = True
    return marks


def _blank_images(found: Sequence[Profile], scan: Scan) -> int:
    return int(np.count_nonzero(_marks(found, scan)))


def _longest_good(found: Sequence[Profile], scan: Scan) -> tuple[int, int] | None:
    """First and last number of the longest row of images that are not blank; None when there is none."""
    steps = np.diff(np.concatenate([[0], (~_marks(found, scan)).astype(np.int8), [0]]))
    starts, ends = np.flatnonzero(steps > 0), np.flatnonzero(steps < 0)
    if not len(starts):
        return None
    k = int(np.argmax(ends - starts))
    return int(starts[k]) + scan.image_range[0], int(ends[k]) + scan.image_range[0] - 1
