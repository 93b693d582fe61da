"""What is known of one set of images before it is read: sequence, masks, spots, slabs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from spindle.errors import UserError
from spindle.execution import Common, RunContext
from spindle.files import read_mask
from spindle.images import Correction, ImageSequence
from spindle.models import Experiment, Experiments
from spindle.params import Auto
from spindle.report import DETAIL, Table
from spindle.table import Flag, ReflectionTable
from spindle_lib_masks.automatic import automatic_mask
from spindle_lib_masks.shadows import MovingShadow, shadow_of

from .background_lessons import learn_background
from .measure import Measure
from .packed_masks import PackedMasks
from .slabs import USUAL_PART, Slabs

__all__ = ["ImageGroup", "prepare_group"]


@dataclass(frozen=True)
class ImageGroup:
    """A set of images and the spots on it.

    Attributes
    ----------
    members : list of int
        Experiments on these images.
    sequence : ImageSequence
        Looks at the checksums of images.
    unverified : ImageSequence
        Does not.
    first : int
        Array index of the first image.
    masks : PackedMasks
    excluded : frozenset of int
        Array indices that are left out.
    rows : (m,) int64
        Rows of the table that are to be measured, or disturb others.
    slabs : Slabs
    measure : Measure
    tables : list of Table
        What the background model says of the images.
    shadow : MovingShadow or None
        What the goniometer shadows while it turns.
    """

    members: list[int]
    sequence: ImageSequence
    unverified: ImageSequence
    first: int
    masks: PackedMasks
    excluded: frozenset[int]
    rows: np.ndarray
    slabs: Slabs
    measure: Measure
    tables: list[Table]
    shadow: MovingShadow | None = None


def prepare_group(
    context: RunContext,
    experiments: Experiments,
    wide: Common,
    members: list[int],
    table: ReflectionTable,
    rows: np.ndarray,
    profile: Any,
    params: Any,
    excluded: frozenset[int],
    background: Any,
    centroid: Any,
) -> ImageGroup:
    """Look at masks and boxes.

    Parameters
    ----------
    context : RunContext
    experiments : Experiments
    wide : Common of Experiments
        The same with foregrounds that reach further.
    members : list of int
        Experiments on these images.
    table : ReflectionTable
        All predictions with bbox, panel and flags.
    rows : (m,) int64
        Those of the members, ascending.
    profile : Handle
    params : IntegrateParams
    excluded : frozenset of int
    background, centroid : Handle
        The plugins that measure.

    Raises
    ------
    UserError
        If spots are as large as the detector.
    """
    experiment = experiments[members[0]]
    masks, corrections = _looked_at(context, experiment, members, len(experiments), params.integration)
    sequence = ImageSequence(experiment)
    bbox = table["bbox"][rows]
    size = np.array([p.image_size for p in experiment.detector])[table["panel"][rows].astype(np.int64)]
    inside = (bbox[:, 0] < size[:, 0]) & (bbox[:, 1] > 0) & (bbox[:, 2] < size[:, 1]) & (bbox[:, 3] > 0)
    inside &= np.all(bbox[:, 1::2] > bbox[:, ::2], axis=1)
    wanted = inside & ((table["flags"][rows] & np.uint64(int(Flag.DONT_INTEGRATE))) == 0)
    _check_sizes(bbox[wanted], size[wanted], members[0], profile, experiment.profile)
    rows = rows[wanted]
    first = 0 if experiment.scan is None else experiment.scan.array_range[0]
    # what is opened and unpacked to learn is forgotten
    learned, tables = learn_background(
        context, background, profile, wide, _without_checksums(ImageSequence(experiment)), first, masks,
        corrections, excluded, table, rows,
    )  # fmt: skip
    return ImageGroup(
        members,
        sequence,
        _without_checksums(sequence),
        first,
        masks,
        excluded,
        rows,
        _slabs(table["bbox"], rows, first, first + sequence.n_images, experiment, params.integration.block),
        Measure(
            experiment.detector,
            corrections,
            background,
            centroid,
            float(params.integration.summation.detector_gain or 1.0),
            params.integration.profile.valid_foreground_threshold or 0.0,
            learned,
            zingers=params.integration.filter.zingers,
        ),
        tables,
        _shadow(context, experiment, members[0]) if params.integration.use_dynamic_mask else None,
    )


def _shadow(context: RunContext, experiment: Experiment, number: int) -> MovingShadow | None:
    """What the goniometer shadows, and a line about it."""
    shadow = shadow_of(experiment)
    if shadow is not None:
        context.log.info(
            "Experiment %d: pixels in the moving shadow of %s are left out (integration.use_dynamic_mask=False leaves them in)",
            number, ", ".join(shadow.names),
        )  # fmt: skip
    return shadow


def _slabs(
    bbox: np.ndarray, rows: np.ndarray, first: int, last: int, experiment: Experiment, block: Any
) -> Slabs:  # fmt: skip
    """The images cut as the parameters say."""
    core = None
    if block.size is not None and block.size is not Auto:
        width = 1.0
        if experiment.scan is not None and block.units != "frames":
            width = abs(
                experiment.scan.oscillation_deg[1] if block.units == "degrees" else experiment.scan.oscillation[1]
            )
        core = max(float(block.size) / (width or 1.0), 1.0)
    return Slabs(bbox, rows, first, last, core, USUAL_PART if block.threshold is None else block.threshold)


def _looked_at(
    context: RunContext, experiment: Experiment, members: list[int], n_experiments: int, params: Any
) -> tuple[PackedMasks, list[Correction]]:
    """Masks and corrections of a set of images; what was opened and unpacked for them is forgotten."""
    sequence = ImageSequence(experiment)
    masks = [sequence.mask(i) for i in range(len(experiment.detector))]
    if params.lookup.mask is not None:
        given = read_mask(str(params.lookup.mask), experiment.detector)
        masks = [a & b for a, b in zip(masks, given, strict=True)]
    if params.filter.automatic_mask:
        alone = len(members) == n_experiments
        masks = _masked_automatically(context, _without_checksums(sequence), masks, members[0], alone)
    return PackedMasks(masks), sequence.corrections


def _without_checksums(sequence: ImageSequence) -> ImageSequence:
    """The same images, of files whose checksums another pass looks at."""
    images = sequence.imageset
    if images.arrays is not None or (images.numbered is None and images.single_file_indices is not None):
        return sequence
    images = replace(images, params={**images.params, "verify_checksum": False})
    return ImageSequence(replace(sequence.experiment, imageset=images))


def _masked_automatically(
    context: RunContext, sequence: ImageSequence, masks: list[np.ndarray], number: int, alone: bool
) -> list[np.ndarray]:
    """The masks without pixels that the images themselves show to be shadowed, dead or hot; of several sets the screen tells of the first."""
    found = automatic_mask(sequence, masks, context.executor)
    if not found.n_images:
        return masks
    context.log.info(
        "Automatic mask of experiment %d, from %d images: %d pixels in shadow, %d dead, %d hot "
        "(integration.filter.automatic_mask=False leaves them in%s)",
        number, found.n_images, found.n_shadowed, found.n_dead, found.n_hot,
        "" if alone else "; the log tells of each set of images", extra=DETAIL if number else None,
    )  # fmt: skip
    return [a & b for a, b in zip(masks, found.masks, strict=True)]


def _check_sizes(box: np.ndarray, image_size: np.ndarray, index: int, profile: Any, model: Any) -> None:
    """Refuse models whose spots are as large as the detector."""
    if not len(box):
        return
    width = np.median(np.maximum(box[:, 1] - box[:, 0], box[:, 3] - box[:, 2]))
    limit = 0.5 * float(image_size.min())
    if width > limit and width > 60:
        numbers = profile.describe_model(model=model).numbers
        text = ", ".join(f"{name} is {value:.3g}" for name, value in numbers.items())
        raise UserError(
            f"integrate: shoeboxes of experiment {index} are {width:.0f} pixels wide, half of the detector"
            f"{f' ({text})' if text else ''}. The predictions do not follow the spots; check the indexing and the refinement"
        )
