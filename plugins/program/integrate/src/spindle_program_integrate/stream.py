"""Shoeboxes filled while images pass by, each image read once; pixels live only until their block has been measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from spindle.contracts.profile import ForegroundMasks
from spindle.images import ImageSequence
from spindle.models import Experiments
from spindle.table import ReflectionTable, Shoeboxes

from .kernels import extract_pixels, paint_model, paint_spots, take_neighbours

SPOTS_PER_BLOCK = 2048
BYTES_PER_BLOCK = 8_000_000
BYTES_PER_PIXEL = 9
MARGIN = 1  # images before and after its box on which a spot still disturbs others


@dataclass
class Block:
    """Some spots that are measured together.

    Attributes
    ----------
    rows : (m,) int64
        Rows of the table.
    panel : (m,) int64; bbox : (m, 6) int32
    masks : ForegroundMasks
    shoeboxes : Shoeboxes
        Empty boxes for spots that only disturb others.
    marks : (m,) uint8
        See `extract_pixels`: 1 overloaded, 2 another foreground in the background.
    first, last : int
        Array indices of the images of the boxes, half open.
    model : (m,) float32 or None
        Modelled counts of each spot in its own pixels. The background of the shoeboxes then holds what the others add.
    """

    rows: np.ndarray
    panel: np.ndarray
    bbox: np.ndarray
    masks: ForegroundMasks
    shoeboxes: Shoeboxes
    marks: np.ndarray
    first: int
    last: int
    model: np.ndarray | None = None


@dataclass(frozen=True)
class Request:
    """Spots that a block is to be made of.

    Attributes
    ----------
    rows : (m,) int64
    geometry : ReflectionTable
        What the profile model needs to know of them.
    panel : (m,) int64; bbox : (m, 6) int32
    extract : (m,) bool
        Whose pixels are wanted; the others only mark their foreground.
    first, last : int
        As in `Block`.
    intensity : (m,) float64 or None
        Of which the modelled counts are wanted.
    """

    rows: np.ndarray
    geometry: ReflectionTable
    panel: np.ndarray
    bbox: np.ndarray
    extract: np.ndarray
    first: int
    last: int
    intensity: np.ndarray | None = None

    def __repr__(self) -> str:
        return f"{len(self.rows)} spots on images {self.first + 1} to {self.last}"


@dataclass(frozen=True)
class PrepareBlock:
    """Makes the block of a request.

    Attributes
    ----------
    profile : Handle
        The profile plugin.
    experiments : Experiments
    fitter : ProfileFitter or None
        Models counts, where a request wants them.
    """

    profile: Any
    experiments: Experiments
    fitter: Any = None

    def __call__(self, request: Request) -> Block:
        """A block with empty pixels."""
        boxes = request.bbox.copy()
        boxes[~request.extract, 5] = boxes[~request.extract, 4]
        shoeboxes = Shoeboxes.empty(request.panel, boxes)
        shoeboxes.bbox = request.bbox.copy()
        masks = self.profile.foreground(
            experiments=self.experiments, reflections=request.geometry, bbox=np.ascontiguousarray(request.bbox)
        )
        model = None
        if request.intensity is not None:
            model = self.fitter.expected_counts(request.geometry, shoeboxes, request.intensity)
        return Block(
            request.rows, shoeboxes.panel, shoeboxes.bbox, masks, shoeboxes, np.zeros(len(request.rows), np.uint8),
            request.first, request.last, model,
        )  # fmt: skip


@dataclass(frozen=True)
class ReadImage:
    """Reads the image of an array index, unless it is left out.

    Attributes
    ----------
    sequence : ImageSequence
    first : int
        Array index of its first image.
    excluded : frozenset of int
    """

    sequence: ImageSequence
    first: int
    excluded: frozenset[int]

    def __call__(self, z: int) -> list[np.ndarray] | None:
        """Pixels of each panel."""
        return None if z in self.excluded else self.sequence.read(z - self.first)


class Plan:
    """Spots cut into blocks that live on few images.

    Parameters
    ----------
    bbox : (n, 6) int32
        Boxes of all rows of the table.
    rows : (m,) int64
        Rows to treat.
    """

    def __init__(self, bbox: np.ndarray, rows: np.ndarray) -> None:
        self.bbox = bbox
        boxes = bbox[rows].astype(np.int64)
        depth = boxes[:, 5] - boxes[:, 4]
        self.size = np.prod(np.diff(boxes.reshape(-1, 3, 2), axis=2)[..., 0], axis=1)
        # spots of similar depth share a block, so that a few long ones do not keep many short ones in memory
        kind = np.ceil(np.log2(np.maximum(depth, 4))).astype(np.int64)
        order = np.lexsort((rows, boxes[:, 5], boxes[:, 4], kind))
        rows, kind, start, self.size = rows[order], kind[order], boxes[order, 4], self.size[order]
        self.blocks: list[np.ndarray] = []
        self.bytes: list[int] = []
        begin, volume = 0, 0
        for i in self._cuts(kind, start):
            self.blocks.append(rows[begin:i])
            volume = int(self.size[begin:i].sum())
            self.bytes.append(volume * BYTES_PER_PIXEL)
            begin = i
        first = [int(bbox[b, 4].min()) for b in self.blocks]
        last = [int(bbox[b, 5].max()) for b in self.blocks]
        in_order = np.lexsort((np.arange(len(first)), first))
        self.blocks = [self.blocks[i] for i in in_order]
        self.bytes = [self.bytes[i] for i in in_order]
        self.first = [first[i] for i in in_order]
        self.last = [last[i] for i in in_order]

    def _cuts(self, kind: np.ndarray, start: np.ndarray) -> list[int]:
        """Ends of the blocks: at most so many spots and bytes, and starts within the depth of the kind or 8 images."""
        cuts: list[int] = []
        total = np.concatenate([[0], np.cumsum(self.size * BYTES_PER_PIXEL)])
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

    def peak_bytes(self, n_workers: int = 1) -> int:
        """Most memory that pixels take at once when all spots are extracted; the executor holds 2 n_workers + 1 blocks."""
        if not self.blocks:
            return 0
        first, last = np.array(self.first), np.array(self.last)
        low = int(first.min())
        change = np.zeros(int(last.max()) - low + 2 + 2 * MARGIN)
        np.add.at(change, np.maximum(first - low - MARGIN, 0), self.bytes)
        np.add.at(change, last - low + MARGIN, -np.array(self.bytes, dtype=np.float64))
        return int(np.cumsum(change).max() + (2 * n_workers + 1) * max(self.bytes))


def stream_blocks(
    plan: Plan,
    prepare: PrepareBlock,
    extract: np.ndarray,
    geometry: ReflectionTable,
    sequence: ImageSequence,
    first_image: int,
    masks: list[np.ndarray],
    excluded: set[int],
    executor,
    advance: Callable[[int], None],
    mark_neighbours: bool = True,
    intensity: np.ndarray | None = None,
) -> Iterator[Block]:
    """Yield blocks as their last image has passed.

    Parameters
    ----------
    plan : Plan
    prepare : PrepareBlock
    extract : (n,) bool
        Rows of the table whose pixels are wanted; the others only mark their foreground.
    geometry : ReflectionTable
        What the profile model needs to know of all rows.
    sequence : spindle.images.ImageSequence
        Read in order, image i standing for array index first_image + i.
    masks : list of (slow, fast) bool
        Static mask per panel.
    excluded : set of int
        Array indices of images that are not read; their pixels are invalid.
    executor
        Reads images and prepares blocks ahead.
    advance : callable
        Told about each image.
    mark_neighbours : bool
        Give pixels under other spots the bit OVERLAPPED.
    intensity : (n,) float64, optional
        Of all rows; with it the blocks know what neighbours add.
    """
    if not plan.blocks:
        return

    def requests() -> Iterator[Request]:
        for rows, begin, end in zip(plan.blocks, plan.first, plan.last, strict=True):
            part = geometry.select(rows)
            yield Request(
                rows, part, part["panel"].astype(np.int64), plan.bbox[rows], extract[rows], begin, end,
                None if intensity is None else intensity[rows],
            )  # fmt: skip

    with_model = intensity is not None
    detector = sequence.experiment.detector
    first = max(min(plan.first) - MARGIN, first_image)
    last = min(max(plan.last) + MARGIN, first_image + sequence.n_images)
    counts = [np.zeros(m.shape, np.uint8) for m in masks]
    totals = [np.zeros(m.shape) for m in masks] if with_model else []
    alive: list[Block] = []
    waiting = executor.map(prepare, requests())
    read = ReadImage(sequence, first_image, frozenset(excluded))
    begun = 0
    for z, image in zip(range(first, last), executor.map(read, range(first, last)), strict=True):
        while begun < len(plan.blocks) and plan.first[begun] - MARGIN <= z:
            alive.append(next(waiting))
            begun += 1
        touched = sorted({int(p) for b in alive for p in np.unique(b.panel)})
        for p in touched:
            counts[p][:] = 0
            mine = [b for b in alive if (b.panel == p).any()]
            for b in mine if mark_neighbours else ():
                paint_spots(p, z, b.panel, b.bbox, b.masks.offsets, b.masks.inside, MARGIN, counts[p])
            if with_model:
                totals[p][:] = 0.0
                for b in mine:
                    paint_model(p, z, b.panel, b.bbox, b.shoeboxes.offsets, b.model, totals[p])
                for b in mine:
                    s = b.shoeboxes
                    take_neighbours(p, z, b.panel, b.bbox, s.offsets, b.model, totals[p], s.background)
            low, high = detector[p].trusted_range
            pixels = image[p] if image is not None else np.zeros(masks[p].shape, np.int32)
            good = masks[p] if image is not None else np.zeros(masks[p].shape, bool)
            for b in mine:
                if b.first <= z < b.last:
                    s = b.shoeboxes
                    extract_pixels(
                        pixels,
                        good,
                        float(low),
                        float(high),
                        p,
                        z,
                        b.panel,
                        b.bbox,
                        b.masks.offsets,
                        b.masks.inside,
                        counts[p],
                        s.offsets,
                        s.data,
                        s.mask,
                        b.marks,
                    )
        advance(1)
        for b in alive:
            if b.last == z + 1 and len(b.shoeboxes.data):
                yield _completed(b)
        alive = [b for b in alive if z + 1 < b.last + MARGIN]


def _completed(block: Block) -> Block:
    """The spots of a block that have pixels; the block itself keeps its masks for the next images only."""
    with_pixels = np.diff(block.shoeboxes.offsets) > 0
    full = block.shoeboxes
    if with_pixels.all():
        done, marks, rows = full, block.marks, block.rows
    else:
        done, marks, rows = full.select(with_pixels), block.marks[with_pixels], block.rows[with_pixels]
    none = np.zeros(0, np.int64)
    block.shoeboxes = Shoeboxes.empty(none, np.zeros((0, 6), np.int32))
    finished = Block(rows, done.panel, done.bbox, block.masks, done, marks, block.first, block.last, block.model)
    block.shoeboxes.offsets = np.zeros(len(block.rows) + 1, np.int64)
    return finished
