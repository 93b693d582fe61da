"""`spindle generate_mask`: mask files from rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.errors import ParameterError
from spindle.files import is_map_file, read_mask
from spindle.params import Bool, Choice, Params, PathParam, Str, walk
from spindle_lib_importing.experiments import experiments_of
from spindle_lib_masks.rules import MaskingParams

if TYPE_CHECKING:
    import numpy as np

    from spindle.execution import RunContext
    from spindle.models import Experiment, Experiments

__all__ = ["GenerateMask"]

_SUFFIXES = (".npz", ".h5", ".hdf5")


class GenerateMask(Program):
    """Make a mask file from edges, resolution limits, shapes, ice rings and bad pixels.

    The mask has one array per panel; True is a pixel that may be used. Several sets of images get one numbered file
    each. A mask file that the experiments have already is joined with the new one, and so are mask files that are given;
    mask files alone are joined into one.

        spindle generate_mask imported.expt border=2 d_min=1.5 output.experiments=masked.expt
        spindle generate_mask imported.expt untrusted.circle=1230,1260,40 'untrusted.polygon=1230 1200 2463 1180 2463 1215'
        spindle generate_mask imported.expt ice_rings.filter=True output.mask=ice.h5
        spindle generate_mask imported.expt use_trusted_range=True automatic_mask=True
        spindle generate_mask imported.expt goniometer_shadow=ever output.mask=shadow.npz
        spindle generate_mask backstop.mask shadow.npz output.mask=both.npz
    """

    class Params(MaskingParams):
        """Which pixels are masked."""

        use_trusted_range = Bool(
            False,
            help="Also write down what is left out in any case: pixels that the image format declares bad, untrusted "
            "rectangles of the panels, and pixels whose value lies outside the trusted range in each of up to ten "
            "images. For use outside of Spindle.",
        )
        automatic_mask = Bool(
            False,
            help="Also look at up to 60 images for pixels that are in shadow, dead or hot: far darker or brighter than "
            "others at the same scattering angle, image after image.",
        )

        goniometer_shadow = Choice(
            ["none", "always", "ever"],
            "none",
            help="Mask what parts of the goniometer shadow, as the images were imported with (format.dynamic_shadowing, format.shadow): "
            "always: on every image of the scan; ever: on any of them. Spindle's programs follow a shadow from image to image without it; "
            "a mask holds for all images.",
        )

        class output(Params):
            """What is written."""

            mask = PathParam(
                "pixels.npz",
                none=True,
                help="Mask file, .npz or .h5 by its name; numbered when there are several sets of images.",
            )
            experiments = PathParam(None, help="Experiment list that uses the mask; none by default.")
            log = Str("spindle.generate_mask.log", none=True, help="Log file.")

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Params, context: RunContext) -> ProgramResult:
        """Make the masks; see `spindle.contracts.program.ProgramSpec`."""
        from .rules import apply_rules

        if inputs.reflections:
            raise ParameterError("generate_mask: masks are made from experiments; leave the reflection file out")
        path = _path(params, context)
        given = [f for f in inputs.files if is_map_file(f)]
        inputs = replace(inputs, files=[f for f in inputs.files if f not in given])
        if given and not inputs.experiments and not inputs.files:
            return _joined(given, params, path, context)
        experiments = experiments_of(context, inputs)
        sets = _sets(experiments)
        files: dict[str, Callable[[Path], None]] = {}
        summary: dict[str, Any] = {"n_masked": [], "fraction": []}
        attached: dict[int, Any] = {}
        n_useless = 0
        with context.progress("masking", len(sets)) as progress:
            for number, members in enumerate(sets, 1):
                experiment = experiments[members[0]]
                found = apply_rules(experiment, params, context, given)
                target = path
                if len(sets) > 1:
                    target = path.with_name(f"{path.stem}_{number:0{len(str(len(sets)))}d}{path.suffix}")
                context.table(found.table(_title(experiment, target), [p.name for p in experiment.detector]))
                summary["n_masked"].append(found.n_masked)
                summary["fraction"].append(found.n_masked / found.n_pixels)
                if not _judge(
                    found.counts, found.n_masked, found.n_pixels, str(target), len(sets) - 1 > n_useless, context
                ):
                    n_useless += 1
                    progress.advance()
                    continue
                files[str(target)] = _writer(found.masks)
                for member in members:
                    imageset = experiments[member].imageset
                    if imageset is not None and id(imageset) not in attached:
                        attached[id(imageset)] = replace(imageset, mask=str(target.absolute()))
                progress.advance()
        name = params.output.experiments
        if name is None:
            next_step = f"spindle apply_mask <experiments> {' '.join(files)}"
            if n_useless:
                next_step = "run this again with output.experiments=masked.expt: not every set of images has a mask"
            return ProgramResult(summary=summary, files=files, next_step=next_step)
        if not attached:
            raise ParameterError(
                f"output.experiments={name}: the experiments have no images to which a mask could belong; leave it out"
            )
        masked = type(experiments)(
            [
                e if e.imageset is None else replace(e, imageset=attached.get(id(e.imageset), e.imageset))
                for e in experiments
            ]
        )
        return ProgramResult(experiments=masked, summary=summary, files=files, next_step=f"spindle find_spots {name}")


def _joined(given: list[Path], params: GenerateMask.Params, path: Path, context: RunContext) -> ProgramResult:
    """Mask files alone: what is good in all of them."""
    rules = [e.path for e in walk(params) if e.is_modified and not e.path.startswith("output.")]
    if rules or params.untrusted:
        named = ", ".join(rules or ["untrusted"])
        raise ParameterError(f"generate_mask: {named} needs the detector; give an experiment file with the mask files")
    if params.output.experiments is not None:
        raise ParameterError(
            f"output.experiments={params.output.experiments}: there are no experiments, only mask files; give an experiment "
            "file with them"
        )
    import numpy as np

    from .rules import MaskedPixels

    first = read_mask(given[0], None)
    found = MaskedPixels([np.ones(m.shape, np.bool_) for m in first])
    for file in given:
        masks = read_mask(file, None)
        if [m.shape for m in masks] != [m.shape for m in first]:
            shapes = [[f"{m.shape[0]} x {m.shape[1]}" for m in some][:4] for some in (first, masks)]
            raise ParameterError(
                f"generate_mask: {given[0]} has {len(first)} panels of {', '.join(shapes[0])} pixels (slow x fast), {file} "
                f"{len(masks)} of {', '.join(shapes[1])}: these are masks of different detectors"
            )
        for panel, good in enumerate(masks):
            found.take(file.name, panel, ~good)
    title = f"Pixels that are masked, in {path}:"
    context.table(found.table(title, [f"panel_{i}" for i in range(len(first))]))
    _judge(found.counts, found.n_masked, found.n_pixels, str(path), False, context)
    summary = {"n_masked": [found.n_masked], "fraction": [found.n_masked / found.n_pixels]}
    return ProgramResult(
        summary=summary,
        files={str(path): _writer(found.masks)},
        next_step=f"spindle apply_mask <experiments> {path}",
    )


def _path(params: GenerateMask.Params, context: RunContext) -> Path:
    """Where the mask goes; says so when the name promises another kind of file."""
    path = params.output.mask
    if path is None:
        raise ParameterError("output.mask=None: a mask needs a file; give a name that ends in .npz or .h5")
    if path.suffix not in _SUFFIXES:
        context.log.warning(
            "Warning: output.mask=%s is written as .npz, which is what Spindle reads; DIALS writes Python pickles under "
            "such names and does not read this file",
            path,
        )
    return Path(path)


def _sets(experiments: Experiments) -> list[list[int]]:
    """Positions of the experiments that share a mask, set by set.

    A sequence of images has a mask of its own; stills share one as long as they share detector, beam and mask.
    """
    groups: dict[object, list[int]] = {}
    for position, experiment in enumerate(experiments):
        imageset = experiment.imageset
        key: object = id(imageset)
        if imageset is None or imageset.kind != "ImageSequence":
            key = (id(experiment.detector), id(experiment.beam), imageset and imageset.mask)
        groups.setdefault(key, []).append(position)
    return list(groups.values())


def _title(experiment: Experiment, target: Path) -> str:
    imageset = experiment.imageset
    name = "" if imageset is None else imageset.template or (imageset.paths[0] if imageset.paths else "")
    images = f", images {Path(name).name}" if name else ""
    return f"Pixels that are masked{images}, in {target}:"


def _judge(
    counts: dict[str, np.ndarray], n_masked: int, n_pixels: int, target: str, may_be_useless: bool, context: RunContext
) -> bool:
    """Say when a rule does nothing; return whether pixels are left, which must be so unless `may_be_useless`."""
    if n_masked == n_pixels:
        fault = (
            f"every pixel of the detector is masked (by {', '.join(counts)}) in {target}, whose images are named above"
        )
        if not may_be_useless:
            raise ParameterError(f"generate_mask: {fault}; change their values")
        context.log.warning(
            "Warning: %s; it is not written and these images keep the mask they have. Leave them out, or change the values",
            fault,
        )
        return False
    if not counts:
        context.log.warning("Warning: no rule was given, so that all pixels are good; see spindle generate_mask -h")
    for rule, number in counts.items():
        if not number.sum() and rule not in ("declared bad", "out of range", "automatic"):
            context.log.warning("Warning: %s masks no pixel", rule)
    return True


def _writer(masks: list[np.ndarray]) -> Callable[[Path], None]:
    def write(target: Path) -> None:
        from spindle.files import write_mask

        write_mask(target, masks)

    return write
