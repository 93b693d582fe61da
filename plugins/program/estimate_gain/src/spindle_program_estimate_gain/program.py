"""`spindle estimate_gain`: counts per photon, from the scatter of neighbouring pixels."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.errors import ParameterError, UserError
from spindle.params import Int, Ints, PathParam, Str
from spindle.params import Params as ParamsBase
from spindle_lib_importing.experiments import experiments_of

if TYPE_CHECKING:
    import numpy as np

    from spindle.execution import RunContext
    from spindle.models import Experiment
    from spindle_lib_noise.gain import GainEstimate

__all__ = ["EstimateGain"]

# A gain within this part of the one that the models have needs no action.
_TOLERANCE = 0.1


class EstimateGain(Program):
    """Estimate how many counts of the detector one photon makes.

    Photon counts scatter with a variance equal to their mean; a gain of g makes the variance g times the mean. Windows
    without spots, which agree on one index of dispersion (variance over mean), tell the gain. The median over all windows,
    which spots and gaps bias, is printed beside it.

        spindle estimate_gain imported.expt max_images=10
        spindle estimate_gain image_0001.img output.gain_map=gain.npz
    """

    class Params(ParamsBase):
        """How the gain is estimated."""

        kernel_size = Ints(
            (10, 10),
            max=500,
            size=2,
            min=1,
            units="px",
            help="Half sizes of the windows, slow and fast; 10 makes windows of 21 pixels.",
        )
        max_images = Int(
            1, min=1, max=1_000_000, none=True, help="Images to look at, spread over the scan; None for all."
        )

        class output(ParamsBase):
            """What is written."""

            gain_map = PathParam(
                None,
                none=True,
                help="Map of the gain (.npz or .h5) for lookup.gain of spindle import; numbered when there are several "
                "sets of images.",
            )
            log = Str("spindle.estimate_gain.log", none=True, help="Log file.")

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Params, context: RunContext) -> ProgramResult:
        """Estimate; see `spindle.contracts.program.ProgramSpec`."""
        from spindle.images import ImageSequence

        if inputs.reflections:
            raise ParameterError("estimate_gain: the gain is seen on images; leave the reflection file out")
        sets = list({id(e.imageset): e for e in experiments_of(context, inputs)}.values())
        files: dict[str, Callable[[Path], None]] = {}
        summary: dict[str, Any] = {"gain": [], "uncertainty": [], "median_dispersion": []}
        advice, is_sure = "", True
        for number, experiment in enumerate(sets, 1):
            images = ImageSequence(experiment)
            found, sigma, medians = self._estimate(images, params, context)
            summary["gain"].append(found.gain)
            summary["uncertainty"].append(sigma)
            summary["median_dispersion"].append(medians)
            is_sure = is_sure and _is_sure(found)
            advice = advice or _advice(experiment, found, sigma)
            if params.output.gain_map is not None and found.maps is not None:
                path = params.output.gain_map
                if len(sets) > 1:
                    path = path.with_name(f"{path.stem}_{number:0{len(str(len(sets)))}d}{path.suffix}")
                files[str(path)] = _writer(found.maps)
        next_step = advice or "spindle find_spots <images>"
        if files and is_sure:
            next_step = f"spindle import <images> lookup.gain={next(iter(files))}"
        return ProgramResult(summary=summary, files=files, next_step=next_step)

    def _estimate(self, images: Any, params: Params, context: RunContext) -> tuple[GainEstimate, float, list[float]]:
        """Estimate the gain of one set of images, and print it."""
        import numpy as np

        from spindle.report import Table
        from spindle_lib_noise.gain import chosen_images, estimate_gain

        from .dispersion import median_dispersion, uncertainty

        chosen = chosen_images(images.n_images, params.max_images or images.n_images)
        kernel = params.kernel_size
        with context.progress("median dispersion", len(chosen)) as progress:
            medians = []
            for one in context.executor.map(partial(median_dispersion, images, kernel=kernel), chosen):
                medians.append(one)
                progress.advance()
        estimate = partial(estimate_gain, images, indices=chosen, executor=context.executor)
        found = estimate(kernel_size=kernel, with_maps=params.output.gain_map is not None)
        smaller = None
        if min(kernel) > 1:
            with suppress(UserError):
                smaller = estimate(kernel_size=(kernel[0] // 2, kernel[1] // 2))
        sigma = uncertainty(found, smaller)
        rows = [
            [Path(images.file_of(i)[0]).name, images.file_of(i)[1] + 1, g, m.gain, *m.quartiles]
            for i, g, m in zip(found.indices, found.of_images, medians, strict=True)
        ]
        headers = ["file", "frame", "gain", "median\n(as DIALS)", "q1", "q2", "q3"]
        if all(row[1] == 1 for row in rows):
            headers, rows = [headers[0], *headers[2:]], [[row[0], *row[2:]] for row in rows]
        context.table(Table("Gain of each image, counts per photon:", headers, rows, "gain_of_images"))
        detector = images.experiment.detector
        if len(detector) > 1:
            of_panels = [[p.name, g] for p, g in zip(detector, found.of_panels, strict=True)]
            context.table(Table("Gain of each panel:", ["panel", "gain"], of_panels, "gain_of_panels"))
        context.log.info(
            "Estimated gain: %.3f +/- %.3f counts per photon, on which %d of %d windows without gaps agree",
            found.gain,
            sigma,
            found.n_used,
            len(found.dispersion),
        )
        values = [m.gain for m in medians]
        context.log.info(
            "Median of all windows, as DIALS: %.3f%s; spots raise it, edges and gaps draw it to 1\n",
            np.mean(values),
            f" +/- {np.std(values, ddof=1):.3f}" if len(values) > 1 else "",
        )
        if not _is_sure(found):
            context.log.warning(
                "Warning: %.0f%% of the windows disagree with this gain: they hold spots or edges, and the gain is likely "
                "too high; try kernel_size=%d,%d",
                100.0 - 100.0 * found.n_used / len(found.dispersion),
                *(max(k // 2, 1) for k in kernel),
            )
        return found, sigma, values


def _is_sure(found: GainEstimate) -> bool:
    """Whether most windows agree on the gain."""
    return found.n_used >= 0.5 * len(found.dispersion)


def _advice(experiment: Experiment, found: GainEstimate, sigma: float) -> str:
    """What to run when the models have another gain."""
    known, gain = experiment.detector[0].gain or 1.0, found.gain
    if not _is_sure(found) or abs(gain / known - 1.0) < _TOLERANCE or abs(gain - known) < 3.0 * sigma:
        return ""
    return f"spindle import <images> geometry.detector.panel.gain={gain:.3g}"


def _writer(maps: list[np.ndarray]) -> Callable[[Path], None]:
    def write(target: Path) -> None:
        from spindle.files import write_map

        write_map(target, maps)

    return write
