"""The beam position from images: summaries of a panel, the centre of each, the shift that follows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from spindle.contracts.beam_position import AxisCentre, BeamPositionError, ImageSummary
from spindle.errors import ParameterError
from spindle.images import ImageSequence, trusted_mask
from spindle.models import Detector, Experiments

#: A centre of lower quality, or with a larger uncertainty (pixels), is a guess and is refused.
LEAST_QUALITY, LARGEST_UNCERTAINTY = 0.15, 15.0


def _read_panel(panel: int, item: tuple[int, ImageSequence, int]) -> tuple[int, np.ndarray]:
    """Number of the sweep, and the pixels of a panel of one of its images."""
    sweep, sequence, index = item
    return sweep, np.ascontiguousarray(sequence.read(index)[panel])


@dataclass(frozen=True, slots=True)
class ImageCentre:
    """Centre of one panel of the images.

    Attributes
    ----------
    panel : int
    axes : (AxisCentre, AxisCentre)
        Along fast and slow.
    n_images : int
    """

    panel: int
    axes: tuple[AxisCentre, AxisCentre]
    n_images: int

    @property
    def pixel(self) -> np.ndarray:
        """(2,) float64, pixels."""
        return np.array([a.position for a in self.axes])


def panel_of_beam(detector: Detector, s0: np.ndarray) -> int:
    """The panel that the beam hits, or else the one whose edge is nearest to it."""
    hit = detector.beam_centre(s0)
    if hit is not None:
        return hit[0]
    distances = []
    for number, panel in enumerate(detector):
        xy = detector.beam_centre_px(s0, number)
        size = np.array(panel.image_size)
        outside = np.inf if xy is None else np.linalg.norm((xy - np.clip(xy, 0, size)) * panel.pixel_size)
        distances.append(float(outside))
    return int(np.argmin(distances))


def shift_to(detector: Detector, s0: np.ndarray, panel: int, pixel: np.ndarray) -> np.ndarray:
    """Shift (3,) mm, normal to the beam, that brings a pixel position of a panel onto the beam."""
    unit = s0 / np.linalg.norm(s0)
    place = detector.lab_coordinate(panel, pixel * detector[panel].pixel_size)[0]
    return np.asarray(unit * (place @ unit) - place)


class ImageSearch:
    """Reads images of the sweeps of one detector and finds centres.

    Parameters
    ----------
    sweeps : Experiments
    params : Params
        The program's.
    methods : (plugin, plugin)
        For the fast and the slow axis.
    context : RunContext
    executor : Executor
    """

    def __init__(self, sweeps: Experiments, params: Any, methods: tuple[Any, Any], context: Any, executor: Any) -> None:
        self.sweeps, self.params, self.methods = sweeps, params, methods
        self.context, self.executor = context, executor
        self.detector, self.s0 = sweeps[0].detector, sweeps[0].beam.s0
        self.panel = panel_of_beam(self.detector, self.s0)
        self.sequences = [ImageSequence(sweep) for sweep in sweeps]
        self.excluded = self._excluded()

    def together(self) -> ImageCentre:
        """The centre of all images that are looked at."""
        chosen = self._images()
        limit = self.params.projection.max_images
        if len(chosen) > limit:
            chosen = [chosen[i] for i in np.unique(np.linspace(0, len(chosen) - 1, limit).round().astype(int))]
        return self._centre(self._summary(chosen))

    def one_by_one(self) -> list[tuple[int, int, ImageCentre | BeamPositionError]]:
        """Sweep, image number and centre (or why there is none) of every image."""
        found: list[tuple[int, int, ImageCentre | BeamPositionError]] = []
        chosen = self._images()
        # How much they scatter says more about many images than the quality of each.
        least = LEAST_QUALITY if len(chosen) < 3 else 0.0
        with self.context.progress("looking at images", len(chosen)) as progress:
            for sweep, index in chosen:
                number = self._number(sweep, index)
                try:
                    found.append((sweep, number, self._centre(self._summary([(sweep, index)], quiet=True), least)))
                except BeamPositionError as error:
                    found.append((sweep, number, error))
                progress.advance()
        return found

    # -- images

    def _number(self, sweep: int, index: int) -> int:
        scan = self.sweeps[sweep].scan
        return index + (1 if scan is None else scan.image_range[0])

    def _images(self) -> list[tuple[int, int]]:
        """Sweep and 0-based index of the images that may be looked at."""
        every = [(s, i) for s, images in enumerate(self.sequences) for i in range(images.n_images)]
        ranges = self.params.image_range
        if not ranges:
            return every
        kept = [(s, i) for s, i in every if any(a <= self._number(s, i) <= b for a, b in ranges)]
        if not kept:
            numbers = [self._number(s, i) for s, i in every]
            text = " ".join(f"{a},{b}" for a, b in ranges)
            raise ParameterError(
                f"image_range={text}: there are no such images; the experiments have {min(numbers)} to {max(numbers)}"
            )
        return kept

    def _excluded(self) -> np.ndarray:
        """Pixels (slow, fast) that the user leaves out."""
        width, height = self.detector[self.panel].image_size
        out = np.zeros((height, width), np.bool_)
        scope = self.params.projection
        for name, size, view in (
            ("exclude_pixel_range_x", width, out.T),
            ("exclude_pixel_range_y", height, out),
        ):
            for first, last in getattr(scope, name) or ():
                if not first < last or first >= size:
                    raise ParameterError(
                        f"projection.{name}={first},{last}: give the first and, larger, the last pixel plus one, within 0 "
                        f"and {size}"
                    )
                view[first:last] = True
        if out.all():
            raise ParameterError("projection.exclude_pixel_range_x and _y leave out the whole panel")
        return out

    def _summary(self, chosen: list[tuple[int, int]], quiet: bool = False) -> ImageSummary:
        from .kernels import add_to_summary

        panel = self.detector[self.panel]
        shape = self.excluded.shape
        total, maximum, count = np.zeros(shape), np.zeros(shape, np.float32), np.zeros(shape, np.int32)
        good = np.empty(shape, np.bool_)
        threshold = self.params.projection.bad_pixel_threshold
        limit = np.inf if threshold is None else float(threshold)
        low, high = panel.trusted_range
        static = [images.masks[self.panel] & ~self.excluded for images in self.sequences]

        items = [(sweep, self.sequences[sweep], index) for sweep, index in chosen]
        images: Iterable[tuple[int, np.ndarray]] = self.executor.here.map(partial(_read_panel, self.panel), items)
        if quiet:
            for sweep, image in images:
                add_to_summary(image, trusted_mask(image, static[sweep], low, high, good), limit, total, maximum, count)
        else:
            with self.context.progress("reading images", len(chosen)) as progress:
                for sweep, image in images:
                    trusted_mask(image, static[sweep], low, high, good)
                    add_to_summary(image, good, limit, total, maximum, count)
                    progress.advance()
        seen = count > 0
        if not seen.any():
            raise BeamPositionError(
                f"search_beam_position: panel {self.panel} has no good pixel on {len(chosen)} images; look at the mask, the "
                "trusted range, projection.bad_pixel_threshold and projection.exclude_pixel_range"
            )
        mean = np.divide(total, count, out=np.zeros(shape), where=seen).astype(np.float32)
        expected = self.detector.beam_centre_px(self.s0, self.panel)
        return ImageSummary(mean, maximum, seen, np.full(2, np.nan) if expected is None else expected, len(chosen))

    def _centre(self, summary: ImageSummary, least_quality: float = LEAST_QUALITY) -> ImageCentre:
        first, second = self.methods
        if first.plugin is second.plugin or (first.name == second.name and first.params == second.params):
            x, y = first.find_centre(image=summary, axes=(0, 1))
        else:
            (x,), (y,) = first.find_centre(image=summary, axes=(0,)), second.find_centre(image=summary, axes=(1,))
        self._refuse_guess((x, y), summary, least_quality)
        return ImageCentre(self.panel, (x, y), summary.n_images)

    def _refuse_guess(self, axes: tuple[AxisCentre, AxisCentre], summary: ImageSummary, least_quality: float) -> None:
        """Raise a BeamPositionError if a centre is hardly better than none."""
        size = np.array(self.detector[self.panel].image_size)
        away = np.abs(summary.expected - np.clip(summary.expected, 0, size))
        if np.any(away > size):
            raise BeamPositionError(
                f"search_beam_position: by the models the beam is {away.max():.0f} pixels beside panel {self.panel}, on which "
                "its centre cannot be looked for. Take method=default and spots, or give "
                "geometry.detector.fast_slow_beam_centre= to spindle import if the models are wrong"
            )
        # NaN, an uncertainty that is not known, passes.
        wild = [a.quality < least_quality or a.uncertainty > LARGEST_UNCERTAINTY for a in axes]
        if any(wild):
            found = "; ".join(
                f"along {name} {plugin.name} finds {a.position:.1f} px, uncertainty {a.uncertainty:.1f} px, quality "
                f"{a.quality:.2f}"
                for name, plugin, a, bad in zip(("fast", "slow"), self.methods, axes, wild, strict=True)
                if bad
            )
            raise BeamPositionError(
                f"search_beam_position: the centre of {summary.n_images} images is no more than a guess: {found} (at most "
                f"{LARGEST_UNCERTAINTY:g} px and at least {LEAST_QUALITY:g} are asked for), so the detector "
                "stays where it is. Try another method (default, with spots, is the best; inversion, midpoint, maximum), more "
                "images (projection.max_images=), or leave out shadows with projection.exclude_pixel_range_x= and _y="
            )
