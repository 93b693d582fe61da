"""From connected components to spots: shoeboxes, centroids, intensities and the filters of single spots."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numba import njit

from spindle.table import Flag, MaskCode, ReflectionTable, Shoeboxes
from spindle_lib_spots.connected_components import Components, fill_shoeboxes

__all__ = ["SpotCounts", "SpotMaker", "join_spots"]

# Tables of single images that wait to be joined.
_RECENT = 256


@njit(nogil=True, cache=True)
def peak_and_sum(bbox, offsets, data, mask, limit, peak, total, overloaded):
    """Centre of the first brightest pixel and sum of the valid pixels of each shoebox, and whether one reaches a limit.

    Parameters
    ----------
    bbox : (n, 6) int32
    offsets : (n + 1,) int64
    data : (n_pixels,) float32, counts
    mask : (n_pixels,) uint8
    limit : (1, 1) or (slow, fast) float32, counts
        Lowest overloaded value of all pixels or of each.
    peak : (n, 3) float64, pixels and images
        Result.
    total : (n,) float64, counts
        Result.
    overloaded : (n,) bool
        Result.
    """
    step = 0 if limit.size == 1 else 1
    for i in range(bbox.shape[0]):
        nx = bbox[i, 1] - bbox[i, 0]
        ny = bbox[i, 3] - bbox[i, 2]
        best = -1
        total[i] = 0.0
        overloaded[i] = False
        for k in range(offsets[i], offsets[i + 1]):
            if mask[k] & 1:
                total[i] += data[k]
                if best < 0 or data[k] > data[best]:
                    best = k
                if data[k] >= limit[0, 0] or step == 1:
                    at = (k - offsets[i]) % (nx * ny)
                    y = bbox[i, 2] + at // nx
                    x = bbox[i, 0] + at % nx
                    overloaded[i] |= data[k] >= limit[y * step, x * step]
        k = best - offsets[i]
        z = k // (nx * ny)
        y = (k - z * nx * ny) // nx
        x = k - (z * ny + y) * nx
        peak[i, 0] = bbox[i, 0] + x + 0.5
        peak[i, 1] = bbox[i, 2] + y + 0.5
        peak[i, 2] = bbox[i, 4] + z + 0.5


@dataclass(slots=True)
class SpotCounts:
    """How many spots were found and dropped, for what reason.

    Attributes
    ----------
    extracted : int
        Connected components.
    too_small, too_large, no_centroid, off_centre, in_crowd, on_gradient : int
        Dropped by min_spot_size, max_spot_size, for lack of intensity, by max_separation, spot_density,
        background_gradient.
    images_left_out : int
        Images with too many strong pixels.
    """

    extracted: int = 0
    too_small: int = 0
    too_large: int = 0
    no_centroid: int = 0
    off_centre: int = 0
    in_crowd: int = 0
    on_gradient: int = 0
    images_left_out: int = 0


@dataclass
class SpotMaker:
    """Turns finished components of one panel of one experiment into rows of a reflection table.

    Parameters
    ----------
    number : int
        The experiment.
    panel : int
    width : int
        Pixels in a row of the panel.
    centroid : plugin of the slot ``centroid``
    min_size, max_size : int
        Strong pixels of a spot.
    max_separation : float or None, pixels
    overload : (1, 1) or (slow, fast) float32, counts
        A spot with a pixel of this value or more is overloaded.
    keep_shoeboxes : bool
    """

    number: int
    panel: int
    width: int
    centroid: Any
    min_size: int
    max_size: int
    max_separation: float | None
    overload: np.ndarray
    keep_shoeboxes: bool
    counts: SpotCounts = field(default_factory=SpotCounts)
    parts: list[ReflectionTable] = field(default_factory=list)
    order: list[np.ndarray] = field(default_factory=list)
    _recent: list[ReflectionTable] = field(default_factory=list)
    _recent_order: list[np.ndarray] = field(default_factory=list)

    def take(self, components: Components | None) -> None:
        """Make spots of finished components."""
        if components is None or not len(components):
            return
        size = components.size
        kept = (size >= self.min_size) & (size <= self.max_size)
        self.counts.extracted += len(size)
        self.counts.too_small += int(np.count_nonzero(size < self.min_size))
        self.counts.too_large += int(np.count_nonzero(size > self.max_size))
        n = int(kept.sum())
        if not n:
            return
        target = np.where(kept, np.cumsum(kept) - 1, -1)
        boxes = Shoeboxes.empty(np.full(n, self.panel), components.bbox[kept])
        # Pixels of open components carry the label -1: the last entry says that they have no shoebox.
        target = np.append(target, -1)
        fill_shoeboxes(
            components.starts, components.frames, components.index, components.value, self.width, components.label,
            target,
            boxes.bbox, boxes.offsets, MaskCode.VALID | MaskCode.FOREGROUND, boxes.data, boxes.mask,
        )  # fmt: skip
        peak, total, overloaded = np.empty((n, 3)), np.empty(n), np.empty(n, np.bool_)
        peak_and_sum(boxes.bbox, boxes.offsets, boxes.data, boxes.mask, self.overload, peak, total, overloaded)
        found = self.centroid.compute_centroids(shoeboxes=boxes)
        good = found.success.copy()
        self.counts.no_centroid += int(np.count_nonzero(~good))
        if self.max_separation is not None:
            near = np.linalg.norm(peak - found.position, axis=1) <= self.max_separation
            self.counts.off_centre += int(np.count_nonzero(good & ~near))
            good &= near
        flags = np.full(n, int(Flag.STRONG), np.uint64)
        flags[overloaded] |= np.uint64(int(Flag.OVERLOADED))
        table = ReflectionTable(
            {
                "bbox": boxes.bbox,
                "flags": flags,
                "id": np.full(n, self.number),
                "intensity.sum.value": total,
                "intensity.sum.variance": np.abs(total),
                "n_signal": size[kept],
                "panel": np.full(n, self.panel),
                "xyzobs.px.value": found.position,
                "xyzobs.px.variance": found.variance,
            }
        )
        if self.keep_shoeboxes:
            table["shoebox"] = boxes
        first = components.first[kept]
        if not good.all():
            table, first = table.select(good), first[good]
        if len(table):
            self._recent.append(table)
            self._recent_order.append(first)
            if len(self._recent) == _RECENT:
                self.gather()

    def gather(self) -> None:
        """Join the tables of recent images: many small tables take far more memory than one large one."""
        if self._recent:
            self.parts.append(ReflectionTable.concatenate(self._recent))
            self.order.append(np.concatenate(self._recent_order))
            self._recent, self._recent_order = [], []


def join_spots(makers: list[SpotMaker], keep_shoeboxes: bool) -> ReflectionTable:
    """Spots of all panels of one experiment: panel by panel, in the order of their first pixels."""
    tables = []
    for maker in makers:
        maker.gather()
        if maker.parts:
            first = np.concatenate(maker.order)
            tables.append(ReflectionTable.concatenate(maker.parts).select(np.lexsort((first[:, 1], first[:, 0]))))
    if tables:
        return ReflectionTable.concatenate(tables)
    table = ReflectionTable.with_rows(0, EMPTY_COLUMNS)
    if keep_shoeboxes:
        table["shoebox"] = Shoeboxes.empty(np.empty(0, np.int64), np.empty((0, 6), np.int32))
    return table


EMPTY_COLUMNS = (
    "bbox", "flags", "id", "intensity.sum.value", "intensity.sum.variance", "n_signal", "panel", "xyzobs.px.value",
    "xyzobs.px.variance",
)  # fmt: skip
