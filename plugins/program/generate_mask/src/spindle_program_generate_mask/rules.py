"""What masks the pixels of one set of images, rule by rule."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spindle.errors import ParameterError
from spindle.files import read_mask
from spindle.images import ImageSequence, trusted_mask
from spindle.models import Experiment, ImageSet
from spindle.report import Table
from spindle_lib_masks.automatic import automatic_mask
from spindle_lib_masks.rules import masked_by_rule
from spindle_lib_masks.shadows import shadow_of

if TYPE_CHECKING:
    from spindle.execution import RunContext

__all__ = ["MaskedPixels", "apply_rules"]

# Images in which pixels are compared with the trusted range.
_IMAGES = 10
# With more rules than this, those of the same name share a column.
_COLUMNS = 8
# Detectors with more panels than this are summed up in one row.
_ROWS = 64


@dataclass(slots=True)
class MaskedPixels:
    """The mask of one detector and what each rule took.

    Attributes
    ----------
    masks : list of (slow, fast) bool
        One per panel, True is good.
    counts : dict of str to (n_panels,) int64
        Pixels that each rule masks, whether others mask them too or not.
    """

    masks: list[np.ndarray]
    counts: dict[str, np.ndarray] = field(default_factory=dict)

    def take(self, rule: str, panel: int, masked: np.ndarray) -> None:
        """Mask the pixels of one rule on one panel."""
        counts = self.counts.setdefault(rule, np.zeros(len(self.masks), np.int64))
        counts[panel] += np.count_nonzero(masked)
        self.masks[panel] &= ~masked

    @property
    def n_pixels(self) -> int:
        """Pixels of all panels."""
        return sum(m.size for m in self.masks)

    @property
    def n_masked(self) -> int:
        """Pixels that any rule masks."""
        return self.n_pixels - sum(int(np.count_nonzero(m)) for m in self.masks)

    def table(self, title: str, names: Sequence[str]) -> Table:
        """Pixels that each rule masks on each panel.

        Parameters
        ----------
        title : str
        names : sequence of str
            Names of the panels.
        """
        counts = dict(self.counts)
        if len(counts) > _COLUMNS:
            joined: dict[str, np.ndarray] = {}
            for rule, values in counts.items():
                base = rule.partition("[")[0]
                joined[base] = joined.get(base, 0) + values
            counts = joined
        sizes = np.array([m.size for m in self.masks])
        masked = sizes - [np.count_nonzero(m) for m in self.masks]
        columns = [*counts.values(), masked]
        rows = []
        if len(sizes) <= _ROWS:
            rows = [
                [str(i), name, *(int(c[i]) for c in columns), f"{100.0 * masked[i] / sizes[i]:.2f}"]
                for i, name in enumerate(names)
            ]
        if len(sizes) > 1:
            total = 100.0 * masked.sum() / sizes.sum()
            rows.append(["all", f"{len(sizes)} panels", *(int(c.sum()) for c in columns), f"{total:.2f}"])
        headers = ["panel", "name", *counts, "masked by any", "%"]
        return Table(title, headers, rows, "masked_pixels")


def apply_rules(experiment: Experiment, params: Any, context: RunContext, files: Sequence[Path] = ()) -> MaskedPixels:
    """Mask the pixels of a detector.

    Parameters
    ----------
    experiment : Experiment
        Its images are only read for the rules that look at them.
    params : Params of the program
    context : RunContext
    files : sequence of Path
        Mask files to join with.

    Returns
    -------
    MaskedPixels
    """
    found = MaskedPixels([np.ones((p.image_size[1], p.image_size[0]), np.bool_) for p in experiment.detector])
    for rule, panel, masked in masked_by_rule(params, experiment.detector, experiment.beam):
        context.check_cancelled()
        found.take(rule, panel, masked)
    for file in files:
        for panel, good in enumerate(read_mask(file, experiment.detector)):
            found.take(file.name, panel, ~good)
    if experiment.imageset is not None and experiment.imageset.mask:
        for panel, good in enumerate(read_mask(experiment.imageset.mask, experiment.detector)):
            found.take("mask file", panel, ~good)
    if params.goniometer_shadow != "none":
        for panel, dark in enumerate(_goniometer_shadow(experiment, params.goniometer_shadow, context)):
            found.take("goniometer", panel, dark)
    if params.use_trusted_range or params.automatic_mask:
        imageset: ImageSet | None = experiment.imageset
        if imageset is not None:
            experiment = replace(experiment, imageset=replace(imageset, mask=None))
        images = ImageSequence(experiment)
        for panel, good in enumerate(images.masks):
            found.take("declared bad", panel, ~good)
        if params.use_trusted_range:
            for panel, masked in enumerate(_never_trusted(images, context)):
                found.take("out of range", panel, masked)
        if params.automatic_mask:
            _look_for_bad_pixels(images, found, context)
    return found


def _goniometer_shadow(experiment: Experiment, when: str, context: RunContext) -> list[np.ndarray]:
    """Per panel, pixels that the goniometer shadows on every image of the scan, or on any."""
    shadow = shadow_of(experiment)
    if shadow is None:
        raise ParameterError(
            f"generate_mask: goniometer_shadow={when}: the images were imported without a shape of the goniometer; import them with "
            "format.shadow=FILE or format.dynamic_shadowing=True (docs/how-to/shadows-of-the-goniometer.md)"
        )
    first, last = (0, 1) if experiment.scan is None else experiment.scan.array_range
    dark = shadow.shadowed(first)
    with context.progress("drawing shadows", last - first) as progress:
        for z in range(first + 1, last):
            for k, more in enumerate(shadow.shadowed(z)):
                join = np.logical_or if when == "ever" else np.logical_and
                join(dark[k], more, out=dark[k])
            progress.advance()
    context.log.info("Shadows of %s, %s on images %d to %d", ", ".join(shadow.names), when, first + 1, last)
    return dark


def _never_trusted(images: ImageSequence, context: RunContext) -> Iterator[np.ndarray]:
    """Per panel, pixels whose value is outside the trusted range in every one of some images."""
    panels = list(images.experiment.detector)
    chosen = np.unique(np.linspace(0, images.n_images - 1, min(_IMAGES, images.n_images)).round().astype(int))
    ever = [np.zeros((p.image_size[1], p.image_size[0]), np.bool_) for p in panels]
    everything = [np.ones_like(e) for e in ever]
    pixels: list[np.ndarray] | None = None
    with context.progress("reading images", len(chosen)) as progress:
        for index in chosen:
            pixels = images.read(int(index), pixels)
            for p, panel in enumerate(panels):
                image = np.ascontiguousarray(pixels[p])
                ever[p] |= trusted_mask(image, everything[p], *panel.trusted_range, np.empty(image.shape, np.bool_))
            progress.advance()
    return (~e for e in ever)


def _look_for_bad_pixels(images: ImageSequence, found: MaskedPixels, context: RunContext) -> None:
    automatic = automatic_mask(images, found.masks, context.executor)
    if not automatic.n_images:
        context.log.warning(
            "Warning: automatic_mask=True finds nothing in %d images, which are too few to judge pixels by",
            images.n_images,
        )
        return
    context.log.info(
        "Seen on %d images: %d pixels in shadow, %d dead, %d hot",
        automatic.n_images,
        automatic.n_shadowed,
        automatic.n_dead,
        automatic.n_hot,
    )
    for panel, good in enumerate(automatic.masks):
        found.take("automatic", panel, ~good)
