"""`spindle apply_mask`: experiments that use mask files."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.errors import ModelError, ParameterError
from spindle.params import Params as ParamsBase
from spindle.params import PathParam, Str

if TYPE_CHECKING:
    from spindle.execution import RunContext

__all__ = ["ApplyMask"]


class ApplyMask(Program):
    """Attach mask files to experiments; all later steps leave the masked pixels out.

    Give one mask file (.npz or .h5) for all sets of images, or one for each, in their order. A mask file that the
    experiments have already is replaced.

        spindle apply_mask imported.expt pixels.npz
        spindle apply_mask imported.expt input.mask=pixels_1.npz input.mask=pixels_2.npz
    """

    class Params(ParamsBase):
        """Which masks are attached."""

        class input(ParamsBase):
            """What is read."""

            mask = PathParam(None, multiple=True, help="Mask file; may be repeated, or given without a name.")

        class output(ParamsBase):
            """What is written."""

            experiments = PathParam("masked.expt", help="Experiment list that uses the masks.")
            log = Str("spindle.apply_mask.log", none=True, help="Log file.")

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Params, context: RunContext) -> ProgramResult:
        """Check the masks and attach them; see `spindle.contracts.program.ProgramSpec`."""
        import numpy as np

        from spindle.files import read_mask
        from spindle.report import Table

        experiments = inputs.experiments
        if not experiments:
            raise ParameterError("apply_mask: give an experiment file (spindle import writes imported.expt)")
        paths = [Path(os.path.expanduser(p)).absolute() for p in (*params.input.mask, *inputs.files)]
        imagesets = list(
            {id(e.imageset): (e.detector, e.imageset) for e in experiments if e.imageset is not None}.values()
        )
        if not imagesets:
            raise ModelError("apply_mask: the experiments have no images that could be masked")
        if not paths:
            raise ParameterError("apply_mask: no mask: give mask files, such as spindle generate_mask writes")
        if len(paths) not in (1, len(imagesets)):
            raise ParameterError(
                f"apply_mask: {len(paths)} masks for {len(imagesets)} sets of images; give one for all or one for each"
            )
        rows, attached, known = [], {}, {}
        for number, (detector, imageset) in enumerate(imagesets):
            context.check_cancelled()
            path = paths[number if len(paths) > 1 else 0]
            key = (path, tuple(p.image_size for p in detector))
            if key not in known:
                masks = read_mask(path, detector)
                n_pixels = sum(m.size for m in masks)
                known[key] = n_pixels - sum(int(np.count_nonzero(m)) for m in masks), n_pixels
            n_masked, n_pixels = known[key]
            if n_masked == n_pixels:
                raise ModelError(f"{path}: the mask leaves no pixel; in a mask file True (1) is good: is it inverted?")
            old = f"replaces {Path(imageset.mask).name}" if imageset.mask else ""
            attached[id(imageset)] = replace(imageset, mask=str(path))
            name = imageset.template or (imageset.paths[0] if imageset.paths else "")
            rows.append([Path(name).name, path.name, n_masked, f"{100.0 * n_masked / n_pixels:.2f}", old])
        headers = ["images", "mask", "masked pixels", "%", "note"]
        if not any(row[-1] for row in rows):
            headers, rows = headers[:-1], [row[:-1] for row in rows]
        context.table(Table("Masks that are attached:", headers, rows[:50], "masks"))
        if len(rows) > 50:
            context.log.info("... and %d more sets of images", len(rows) - 50)
        masked = type(experiments)(
            [e if e.imageset is None else replace(e, imageset=attached[id(e.imageset)]) for e in experiments]
        )
        return ProgramResult(
            experiments=masked,
            summary={"n_imagesets": len(imagesets), "masks": [str(p) for p in paths]},
            next_step=f"spindle find_spots {params.output.experiments}",
        )
