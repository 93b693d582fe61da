"""The program `model_background`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.errors import UserError
from spindle.files import read_mask
from spindle.images import ImageSequence
from spindle.models import Experiments
from spindle.report import Table
from spindle.table import ReflectionTable
from spindle_lib_background_images.files import BackgroundImages, name_of_images, write_models
from spindle_lib_background_images.modelling import Modelled, Modeller
from spindle_lib_background_images.sums import PixelStatistics, statistics_of
from spindle_lib_image_ranges import excluded_images
from spindle_lib_masks.free_pixels import GEOMETRY, widened
from spindle_lib_pictures.canvas import Canvas

from .looking import ImagesBesideSpots, Look, Scale, parts_of
from .params import ModelBackgroundParams
from .pictures import picture_writer

__all__ = ["ModelBackground"]

TAILS = 2.0  # standard deviations of the profile beyond the foreground that are left out


class ModelBackground(Program):
    """Make an image of the background from a scan, for integrate background.algorithm=gmodel.

    Takes integrated experiments, whose profile models tell how wide the predicted spots are. What lies beside them on all images is
    averaged pixel by pixel, smoothed along rings about the beam, and how strong it is on each image is found.

        spindle model_background integrated.expt
        spindle integrate refined.expt refined.refl background.algorithm=gmodel background.gmodel.model=background.npz
    """

    takes_files = False

    class Params(ModelBackgroundParams):
        """An image of the background."""

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Any, context: Any) -> ProgramResult:
        """Look, model, scale; see `spindle.contracts.program.ProgramSpec`."""
        experiments = _checked(inputs)
        profile = context.chosen(params.profile)
        excluded: dict[int, set[int]] = {}
        for number, first, last in excluded_images(params.exclude_images, len(experiments)):
            excluded.setdefault(number, set()).update(range(first - 1, last))
        files: dict[str, Callable[[Path], None]] = {}
        models, rows = [], []
        for number, images in enumerate(experiments.unique("imageset")):
            members = experiments.indices_with("imageset", images)
            out = set().union(*(excluded.get(i, set()) for i in members))
            made = self._model(Experiments(experiments[i] for i in members), out, number, profile, params, context)
            model, modelled, sums = made
            models.append(model)
            rows.append(_row(number, model, modelled, sums))
            self._pictures(experiments[members[0]], number, modelled, sums, params.output, files)
        context.table(
            Table(
                "Background",
                ["images", "set", "pixels known", "counts / pixel", "dispersion", "scales of images"],
                rows,
            )
        )
        files[str(params.output.model)] = lambda path: write_models(path, models)
        return ProgramResult(
            files=files,
            summary={"mean": [float(m.images[0][m.images[0] > 0].mean()) for m in models]},
            next_step=f"spindle integrate refined.expt refined.refl background.algorithm=gmodel background.gmodel.model={params.output.model}",
        )

    @staticmethod
    def _model(
        experiments: Experiments, excluded: set[int], number: int, profile: Any, params: Any, context: Any
    ) -> tuple[BackgroundImages, list[Modelled], list[PixelStatistics]]:
        """The model of one set of images."""
        p, experiment = params.prediction, experiments[0]
        wide = widened(experiments, TAILS)
        padding = float(np.deg2rad(1.0 if p.padding is None else p.padding))
        predicted = profile.predict_reflections(
            experiments=wide, d_min=p.d_min, d_max=p.d_max, padding=padding, force_static=p.force_static
        )
        predicted = ReflectionTable({name: predicted[name] for name in GEOMETRY})
        bbox = profile.bounding_boxes(experiments=wide, reflections=predicted, border=1.0)
        sequence = ImageSequence(experiment)
        masks = [sequence.mask(i) for i in range(len(experiment.detector))]
        if params.integration.lookup.mask is not None:
            given = read_mask(str(params.integration.lookup.mask), experiment.detector)
            masks = [a & b for a, b in zip(masks, given, strict=True)]
        first = experiment.known_scan.array_range[0]
        numbers = np.array([z for z in range(first, first + sequence.n_images) if z not in excluded], np.int64)
        if not len(numbers):
            raise UserError(f"model_background: exclude_images leaves out all images of set {number}; leave some in")
        context.log.info("Set %d: %d images, %d predicted spots", number, len(numbers), len(predicted))
        parts = parts_of(numbers, predicted, bbox)
        images = ImagesBesideSpots(profile, wide, sequence, first, masks)
        sums = statistics_of([m.shape for m in masks])
        with context.progress("looking", len(numbers)) as progress:
            for part, found in zip(parts, context.executor.map(Look(images), parts), strict=True):
                for mine, other in zip(sums, found, strict=True):
                    mine.add_all(other)
                progress.advance(len(part.numbers))
        if not any(int(s.number.max(initial=0)) for s in sums):
            raise UserError(
                f"model_background: no pixel of set {number} is good and beside the predicted spots; check the mask and the profile model"
            )
        m = params.modeller
        modelled = Modeller(m.min_images, m.filter_type, m.kernel_size, m.niter, m.image_type)(experiment, sums)
        scales = np.full(sequence.n_images, np.nan)
        with context.progress("scaling", len(numbers)) as progress:
            task = Scale(images, [one.model for one in modelled])
            for part, found in zip(parts, context.executor.map(task, parts), strict=True):
                scales[part.numbers - first] = found
                progress.advance(len(part.numbers))
        pixels = tuple(one.model.astype(np.float32) for one in modelled)
        return BackgroundImages(name_of_images(experiment), pixels, first, scales), modelled, sums

    @staticmethod
    def _pictures(
        experiment: Any, number: int, modelled: list[Modelled], sums: list[PixelStatistics], output: Any,
        files: dict[str, Callable[[Path], None]],
    ) -> None:  # fmt: skip
        canvas = Canvas(experiment.detector, experiment.beam)
        for prefix, title, unit, panels in (
            (output.mean_image_prefix, "Mean", "counts", [s.mean for s in sums]),
            (output.variance_image_prefix, "Variance", "counts²", [s.variance for s in sums]),
            (output.dispersion_image_prefix, "Variance / mean", "", [s.dispersion for s in sums]),
            (output.mask_image_prefix, "Pixels seen on enough images", "", [m.good.astype(float) for m in modelled]),
            (output.min_image_prefix, "Least value", "counts", [s.image("min") for s in sums]),
            (output.max_image_prefix, "Largest value", "counts", [np.maximum(s.largest, 0.0) for s in sums]),
            (output.model_image_prefix, "Model of the background", "counts", [m.model for m in modelled]),
        ):
            if prefix:
                files[f"{prefix}_{number}.png"] = picture_writer(canvas(panels), title, unit)
        if output.polar_model_image_prefix:
            for p, one in enumerate(modelled):
                of_panel = f"_{p}" if len(modelled) > 1 else ""
                files[f"{output.polar_model_image_prefix}_{number}{of_panel}.png"] = picture_writer(
                    one.polar, "Model, angle about the beam (down) against angle to it (right)", "counts"
                )


def _checked(inputs: ProgramInputs) -> Experiments:
    """The experiments, each with what is needed."""
    if inputs.experiments is None or not len(inputs.experiments):
        raise UserError("model_background: give integrated experiments, e.g. spindle model_background integrated.expt")
    if inputs.reflections:
        raise UserError("model_background: reflections are predicted; leave the reflection file out")
    for i, e in enumerate(inputs.experiments):
        if e.crystal is None:
            raise UserError(
                f"model_background: experiment {i} has no crystal, so that no spot can be predicted; run spindle index first"
            )
        if e.imageset is None:
            raise UserError(f"model_background: experiment {i} has no images; run spindle import")
        if e.is_still or e.scan is None:
            raise UserError(f"model_background: experiment {i} is a still; images of a rotation are needed")
        if not e.profile:
            raise UserError(
                f"model_background: experiment {i} has no profile model, which tells how wide spots are; give the experiments that "
                "spindle integrate wrote"
            )
    return inputs.experiments


def _row(number: int, model: BackgroundImages, modelled: list[Modelled], sums: list[PixelStatistics]) -> list[Any]:
    """A line of the table."""
    good = np.concatenate([m.good.ravel() for m in modelled])
    mean = np.concatenate([m.model.ravel() for m in modelled])[good]
    dispersion = np.concatenate([s.dispersion.ravel() for s in sums])[good]
    known = model.scales[np.isfinite(model.scales)]
    span = f"{known.min():.3f} to {known.max():.3f}" if len(known) else "none"
    return [
        model.name or "in memory", number, f"{100 * good.mean():.1f} %", f"{mean.mean():.3g}" if good.any() else "0",
        f"{np.median(dispersion):.3f}" if good.any() else "", span,
    ]  # fmt: skip
