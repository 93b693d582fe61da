"""Images on which the beam was lost: found by their levels, told of, and left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from spindle.images import Correction, ImageSequence
from spindle.report import Table
from spindle_lib_image_ranges import image_level, lost_ranges

from .packed_masks import PackedMasks

if TYPE_CHECKING:
    from .groups import ImageGroup

__all__ = ["Levels", "LostImages", "level_of", "lost_table", "without_lost"]

#: By array index, the sum of some pixels of an image and their number.
Levels = dict[int, tuple[float, int]]


@dataclass(frozen=True)
class LostImages:
    """A range of images without the whole beam.

    Attributes
    ----------
    experiments : list of int
        On these images.
    first, last : int
        Numbers of images, inclusive.
    share : float
        Background as a share of that of the images around.
    left_out : bool
    """

    experiments: list[int]
    first: int
    last: int
    share: float
    left_out: bool

    def as_dict(self) -> dict[str, Any]:
        """For the run record."""
        return asdict(self)


def level_of(
    panels: Sequence[np.ndarray],
    masks: Sequence[np.ndarray],
    trusted: Sequence[tuple[float, float]],
    corrections: Sequence[Correction],
) -> tuple[float, int]:
    """Level of an image from the raw values of its panels; see `spindle_lib_image_ranges.image_level`."""
    if not any(c.is_needed for c in corrections):
        return image_level(panels, masks, trusted)
    counts, good = [], []
    for raw, mask, (low, high), correction in zip(panels, masks, trusted, corrections, strict=True):
        counts.append(correction.apply(np.ascontiguousarray(raw), np.empty(raw.shape, np.float32)))
        good.append(mask & (raw >= low) & (raw <= high))
    return image_level(counts, good, [(-np.inf, np.inf)] * len(counts))


@dataclass(frozen=True)
class LevelOfImage:
    """Reads an image for its level alone.

    Attributes
    ----------
    sequence : ImageSequence
    first : int
        Array index of its first image.
    masks : PackedMasks
    corrections : list of Correction
    """

    sequence: ImageSequence
    first: int
    masks: PackedMasks
    corrections: list[Correction]

    def __call__(self, z: int) -> tuple[float, int]:
        """Level of the image with array index z."""
        trusted = [p.trusted_range for p in self.sequence.experiment.detector]
        return level_of(self.sequence.read(z - self.first), self.masks.unpacked(), trusted, self.corrections)


def without_lost(
    groups: list[ImageGroup], levels: dict[int, Levels], params: Any, context: Any
) -> tuple[list[ImageGroup], list[LostImages]]:
    """Groups of images that leave out those on which the beam was lost, and what these are.

    Parameters
    ----------
    groups : list of ImageGroup
    levels : dict of int to Levels
        By the first member of each group; where there are none, images are read for them.
    params : IntegrateParams.integration.filter
    context : RunContext
    """
    kept, found = [], []
    for group in groups:
        known = levels.get(group.members[0]) or _read(group, context)
        n = group.sequence.n_images
        level, counts = np.full(n, np.nan), np.zeros(n)
        for z, (total, number) in known.items():
            if number:
                level[z - group.first], counts[z - group.first] = total / number, max(total, 0.0)
        ranges = lost_ranges(level, counts, params.least_beam)
        lost = [
            LostImages(
                group.members, group.first + r.first + 1, group.first + r.last, round(r.share, 4), params.lost_images
            )
            for r in ranges
        ]
        if lost:
            _tell(lost, context)
        if lost and params.lost_images:
            out = {z for r in ranges for z in range(group.first + r.first, group.first + r.last)}
            group = replace(group, excluded=group.excluded | out)
        found += lost
        kept.append(group)
    return kept, found


def _read(group: ImageGroup, context: Any) -> Levels:
    """Levels of all images that are not left out anyway."""
    wanted = [z for z in range(group.first, group.first + group.sequence.n_images) if z not in group.excluded]
    if len(wanted) < 3:
        return {}
    task = LevelOfImage(group.unverified, group.first, group.masks, group.measure.corrections)
    return dict(zip(wanted, context.executor.map(task, wanted), strict=True))


def _tell(lost: list[LostImages], context: Any) -> None:
    parts = [
        f"{one.first if one.first == one.last else f'{one.first}-{one.last}'} ({100 * one.share:.0f} %)"
        for one in lost[:20]
    ]
    more = f" and {len(lost) - 20} more ranges" if len(lost) > 20 else ""
    numbers = ", ".join(map(str, lost[0].experiments[:5])) + (" ..." if len(lost[0].experiments) > 5 else "")
    what = (
        "they are left out; integration.filter.lost_images=False keeps them"
        if lost[0].left_out
        else "they are kept, intensities on and beside them are wrong"
    )
    context.log.warning(
        "The beam was lost or weak on images %s%s of experiment %s (background against that of the images around): %s",
        ", ".join(parts), more, numbers, what,
    )  # fmt: skip


def lost_table(lost: list[LostImages]) -> list[Table]:
    """A table of them, if there are any."""
    if not lost:
        return []
    rows = [[one.experiments[0], one.first, one.last, round(100 * one.share, 1), one.left_out] for one in lost]
    headers = ["ID", "First", "Last", "Background (% of its neighbours)", "Left out"]
    return [Table("Images with a lost or weak beam", headers, rows, "lost_images")]
