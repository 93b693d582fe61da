"""Spots that are filled and measured together, and how some spots are cut into such blocks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spindle.contracts.profile import ForegroundMasks
from spindle.table import Shoeboxes

__all__ = ["BYTES_PER_PIXEL", "Block", "Plan", "only_boxes", "zeros"]

SPOTS_PER_BLOCK = 2048
BYTES_PER_BLOCK = 8_000_000
BYTES_PER_PIXEL = 9  # when they are measured: values, mask, background
BYTES_FILLING = 5  # until then: values and mask


@dataclass
class Block:
    """Some spots of a slab of images, while its images pass by.

    Attributes
    ----------
    at : (m,) int64
        Which of the slab's spots they are.
    bbox : (m, 6) int32
    held : (m, 2) int32
        Array indices of the images, half open, whose pixels are wanted of each spot.
    members : list of (panel, (k,) int64)
        The spots on each panel.
    masks : ForegroundMasks
    painted : (m, 4) int32
        Which part of its box each spot paints, see `painted_parts`.
    shoeboxes : Shoeboxes
        Of the images that are held; empty boxes for spots that only disturb others.
    marks : (m,) uint8
        See `extract_pixels`: 1 overloaded, 2 another foreground in the background, 4 another spot near the foreground.
    first, last : int
        Array indices of the images of the boxes, half open.
    """

    at: np.ndarray
    bbox: np.ndarray
    held: np.ndarray
    members: list[tuple[int, np.ndarray]]
    masks: ForegroundMasks
    painted: np.ndarray
    shoeboxes: Shoeboxes
    marks: np.ndarray
    first: int
    last: int


def zeros(n: int, kind: type[np.generic]) -> np.ndarray:
    """(n,) zeros that take no memory and cannot be changed."""
    return np.broadcast_to(kind(0), (n,))


def only_boxes(panel: np.ndarray, bbox: np.ndarray) -> Shoeboxes:
    """Shoeboxes (n, 6) on panels (n,) for those who ask for boxes alone: their pixels are zeros that take no memory."""
    bbox = np.ascontiguousarray(bbox, dtype=np.int32)
    offsets = ForegroundMasks.offsets_of(bbox, each_image=True)
    p = int(offsets[-1])
    pixels = zeros(p, np.float32), zeros(p, np.uint8), zeros(p, np.float32)
    return Shoeboxes(np.ascontiguousarray(panel, dtype=np.int64), bbox, offsets, *pixels)


def members_by_panel(panel: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """The rows on each panel, in order."""
    if not len(panel):
        return []
    order = np.argsort(panel, kind="stable").astype(np.int64)
    panels, starts = np.unique(panel[order], return_index=True)
    return [(int(p), part) for p, part in zip(panels, np.split(order, starts[1:]), strict=True)]


class Plan:
    """Spots cut into blocks that live on few images.

    Parameters
    ----------
    bbox : (n, 6) int32
        Boxes of all rows of a table.
    rows : (m,) int64
        Rows to treat.
    """

    def __init__(self, bbox: np.ndarray, rows: np.ndarray) -> None:
        boxes = bbox[rows].astype(np.int64)
        depth = boxes[:, 5] - boxes[:, 4]
        size = np.prod(np.diff(boxes.reshape(-1, 3, 2), axis=2)[..., 0], axis=1)
        # spots of similar depth share a block, so that a few long ones do not keep many short ones in memory
        kind = np.ceil(np.log2(np.maximum(depth, 4))).astype(np.int64)
        order = np.lexsort((rows, boxes[:, 5], boxes[:, 4], kind))
        rows, kind, start = rows[order], kind[order], boxes[order, 4]
        total = np.concatenate([[0], np.cumsum(size[order] * BYTES_PER_PIXEL)])
        ends = self._cuts(kind, start, total)
        begins = [0, *ends[:-1]]
        blocks = [rows[a:b] for a, b in zip(begins, ends, strict=True)]
        volume = [int(total[b] - total[a]) for a, b in zip(begins, ends, strict=True)]
        first = np.array([int(bbox[b, 4].min()) for b in blocks], np.int64)
        in_order = np.lexsort((np.arange(len(first)), first))
        self.blocks: list[np.ndarray] = [blocks[i] for i in in_order]
        self.bytes: list[int] = [volume[i] for i in in_order]
        self.first: list[int] = [int(first[i]) for i in in_order]
        self.last: list[int] = [int(bbox[blocks[i], 5].max()) for i in in_order]

    @staticmethod
    def _cuts(kind: np.ndarray, start: np.ndarray, total: np.ndarray) -> list[int]:
        """Ends of the blocks: at most so many spots and bytes, and starts within the depth of the kind or 8 images."""
        cuts: list[int] = []
        n, begin = len(kind), 0
        while begin < n:
            span = max(8, 2 ** int(kind[begin]))
            same = int(np.searchsorted(kind, kind[begin], "right"))
            end = begin + int(np.searchsorted(start[begin:same], start[begin] + span, "left"))
            by_bytes = int(np.searchsorted(total, total[begin] + BYTES_PER_BLOCK, "right")) - 1
            end = max(min(end, begin + SPOTS_PER_BLOCK, by_bytes), begin + 1)
            cuts.append(end)
            begin = end
        return cuts

    def peak_bytes(self) -> int:
        """Most memory that pixels take at once when all spots are extracted, with one block that is being measured."""
        if not self.blocks:
            return 0
        first, last = np.array(self.first), np.array(self.last)
        low = int(first.min())
        change = np.zeros(int(last.max()) - low + 2)
        filling = np.array(self.bytes) * (BYTES_FILLING / BYTES_PER_PIXEL)
        np.add.at(change, first - low, filling)
        np.add.at(change, last - low, -filling)
        return int(np.cumsum(change).max() + max(self.bytes))
