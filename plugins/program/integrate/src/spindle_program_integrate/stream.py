"""The task of a slab of images: each image is read once, pixels live only until their block has been measured."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from spindle.contracts.profile import ForegroundMasks
from spindle.execution import Common
from spindle.images import ImageSequence
from spindle.table import Shoeboxes
from spindle_lib_masks.shadows import MovingShadow

from .blocks import Block, Plan, members_by_panel, zeros
from .crowded import Surroundings
from .image_kernels import (
    clear_parts,
    extract_pixels,
    paint_spots,
    painted_parts,
    touch_others,
)
from .lost_images import Levels, level_of
from .measure import Filled, Measure, Measured
from .packed_masks import PackedMasks
from .slabs import MARGIN, OTHER, PART, WHOLE, Slab

HALO, NEAR = np.uint8(2), np.uint8(4)  # code of pixels in `ForegroundMasks`, and mark of `extract_pixels`
FORBIDDEN = np.uint8(128)  # bit of pixels that the static mask forbids, see `extract_pixels`

__all__ = ["Found", "MeasureSlab", "Pieces"]


@dataclass
class Pieces:
    """Pixels on a slab's core of spots that reach beyond what it reads.

    Attributes
    ----------
    rows : (m,) int64
        Rows of the run's table.
    marks : (m,) uint8
        As in `extract_pixels`.
    shoeboxes : Shoeboxes
        Their boxes are cut to the core.
    """

    rows: np.ndarray
    marks: np.ndarray
    shoeboxes: Shoeboxes


@dataclass
class Found:
    """What a slab gives: results of its blocks in order, pieces of the spots that do not lie in it, levels of the images of its core."""

    core: tuple[int, int]
    is_last_part: bool
    measured: list[Measured] = field(default_factory=list)
    pieces: Pieces | None = None
    levels: Levels = field(default_factory=dict)


@dataclass(frozen=True)
class MeasureSlab:
    """Reads the images of slabs and measures their spots.

    Attributes
    ----------
    profile : Handle
        The profile plugin.
    experiments : Common of Experiments
    sequence : ImageSequence
    first : int
        Array index of its first image.
    masks : PackedMasks
        Static masks of the panels.
    excluded : frozenset of int
        Array indices of images that are not read; their pixels are invalid.
    measure : Measure
    mark_neighbours : bool
        Give pixels under other spots the bit OVERLAPPED.
    verified : ImageSequence or None
        Reads the images of the core, each of which is in one slab, where their checksums are to be looked at.
    levels : bool
        Tell the levels of the images of the core.
    shadow : MovingShadow or None
        What the goniometer shadows on each image.
    """

    profile: Any
    experiments: Common
    sequence: ImageSequence
    first: int
    masks: PackedMasks
    excluded: frozenset[int]
    measure: Measure
    mark_neighbours: bool = True
    verified: ImageSequence | None = None
    levels: bool = False
    shadow: MovingShadow | None = None

    def __call__(self, slab: Slab) -> Found:
        """Measure the spots of a slab."""
        return _Pass(self, slab).run()


class _Pass:
    """One slab, while its images pass by."""

    def __init__(self, task: MeasureSlab, slab: Slab) -> None:
        self.task, self.slab = task, slab
        self.panel = slab.geometry["panel"].astype(np.int64)
        self.whole = np.flatnonzero(slab.role == WHOLE)
        self.number = np.cumsum(slab.role == WHOLE) - 1  # of the rows of slab.table
        self.masks = task.masks.unpacked()
        detector = task.sequence.experiment.detector
        self.trusted = [p.trusted_range for p in detector]
        self.counts: dict[int, np.ndarray] = {}
        around = Surroundings(slab.rows, slab.bbox, slab.geometry, slab.expected)
        self.around = None if slab.overlaps is None else lambda rows: around
        self.levels: Levels = {}

    def run(self) -> Found:
        """Read, fill, measure."""
        slab, task = self.slab, self.task
        found = Found(slab.core, slab.part[0] + 1 == slab.part[1])
        plan = Plan(slab.bbox, self.whole)
        pieces = self._block(np.flatnonzero(slab.role == PART), PART)
        alive = [self._disturbing(), pieces]
        low = int(np.concatenate([plan.first, pieces.held[:, 0]]).min())
        high = int(np.concatenate([plan.last, pieces.held[:, 1]]).max())
        images = range(max(low, task.first), min(high, task.first + task.sequence.n_images))
        begun = 0
        panels: list[np.ndarray] | None = None
        for z in images:
            while begun < len(plan.blocks) and plan.first[begun] <= z + MARGIN:
                alive.append(self._block(plan.blocks[begun], WHOLE))
                begun += 1
            if any(((b.held[:, 0] <= z) & (z < b.held[:, 1])).any() for b in alive):
                panels = self._extract(z, alive, panels)
            for block in alive[2:]:
                if block.last == z + 1:
                    found.measured.append(self._measured(block))
            alive = alive[:2] + [b for b in alive[2:] if z + 1 < b.last + MARGIN]
        found.measured += [self._measured(b) for b in alive[2:] if b.last > images.stop]
        if len(pieces.at):
            found.pieces = Pieces(slab.rows[pieces.at], pieces.marks, pieces.shoeboxes)
        found.levels = self.levels
        return found

    def _disturbing(self) -> Block:
        """The spots that may lie over or under one that is wanted."""
        slab = self.slab
        wanted, others = np.flatnonzero(slab.role != OTHER), np.flatnonzero(slab.role == OTHER)
        touching = touch_others(self.panel, slab.bbox, wanted, others, MARGIN)
        return self._block(others[touching], OTHER)

    def _block(self, at: np.ndarray, role: int) -> Block:
        """A block with empty pixels."""
        slab, task = self.slab, self.task
        bbox, panel = np.ascontiguousarray(slab.bbox[at]), self.panel[at]
        held = np.ascontiguousarray(bbox[:, 4:])
        if role == OTHER:
            held = np.zeros_like(held)
        elif role == PART:
            held = np.clip(held, *slab.core).astype(np.int32)
        boxes = bbox.copy()
        boxes[:, 4:] = held
        geometry = slab.geometry.select(at)
        masks = (
            task.profile.foreground(experiments=task.experiments.value, reflections=geometry, bbox=bbox)
            if len(at)
            else ForegroundMasks(np.zeros(1, np.int64), np.zeros(0, np.uint8))
        )
        # where no halos are painted nobody can say that others are far away
        halos = task.mark_neighbours and bool((masks.inside == HALO).any())
        shoeboxes = Shoeboxes.empty(panel, boxes)
        if role == WHOLE:
            # it comes when the block is measured
            shoeboxes.background = zeros(len(shoeboxes.data), np.float32)
        first, last = (int(bbox[:, 4].min()), int(bbox[:, 5].max())) if len(at) else (0, 0)
        return Block(
            at, bbox, held, members_by_panel(panel), masks, painted_parts(bbox, masks.offsets, masks.inside),
            shoeboxes, np.full(len(at), 0 if halos else NEAR, np.uint8), first, last,
        )  # fmt: skip

    def _extract(self, z: int, alive: list[Block], panels: list[np.ndarray] | None) -> list[np.ndarray] | None:
        """Fill what is held of one image; returns its memory for the next."""
        task = self.task
        usable = z not in task.excluded
        if usable:
            in_core = self.slab.core[0] <= z < self.slab.core[1] and self.slab.part[0] == 0
            sequence = task.verified if task.verified is not None and in_core else task.sequence
            panels = sequence.read(z - task.first, panels)
            if task.levels and in_core:
                self.levels[z] = level_of(panels, self.masks, self.trusted, task.measure.corrections)
        dark = task.shadow.shadowed(z) if usable and task.shadow is not None else None
        of_panel: dict[int, list[tuple[Block, np.ndarray]]] = {}
        for block in alive:
            for p, members in block.members:
                of_panel.setdefault(p, []).append((block, members))
        for p, parts in of_panel.items():
            count = self._painted(p, z, parts)
            if usable and panels is not None:
                image = np.ascontiguousarray(panels[p])
            else:
                image, count = np.zeros(count.shape, np.int32), count | FORBIDDEN
            if dark is not None:
                count = np.where(dark[p], count | FORBIDDEN, count)
            low, high = limits(image.dtype, *self.trusted[p])
            for b, members in parts:
                s = b.shoeboxes
                extract_pixels(
                    image, low, high, z, members, b.bbox, b.held, b.masks.offsets, b.masks.inside, count, s.offsets,
                    s.data, s.mask, b.marks,
                )  # fmt: skip
            if task.mark_neighbours:
                for b, members in parts:
                    clear_parts(z, members, b.bbox, b.painted, MARGIN, self.counts[p])
        return panels

    def _painted(self, p: int, z: int, parts: list[tuple[Block, np.ndarray]]) -> np.ndarray:
        """How many spots cover the pixels of a panel, and which the static mask forbids."""
        if p not in self.counts:
            self.counts[p] = np.where(self.masks[p], np.uint8(0), FORBIDDEN)
        count = self.counts[p]
        if self.task.mark_neighbours:
            for b, members in parts:
                paint_spots(z, members, b.bbox, b.painted, b.masks.offsets, b.masks.inside, MARGIN, count)
        return count

    def _measured(self, block: Block) -> Measured:
        """Results of a filled block; its pixels are released, its masks stay for the next images."""
        slab = self.slab
        of_table = self.number[block.at]
        filled = Filled(
            slab.rows[block.at], block.shoeboxes, block.marks, slab.table.select(of_table), slab.expected[block.at],
            slab.kept[of_table], slab.neighbours(of_table), self.around,
        )  # fmt: skip
        measured = self.task.measure(filled)
        block.shoeboxes = Shoeboxes.empty(np.zeros(0, np.int64), np.zeros((0, 6), np.int32))
        block.held = np.zeros_like(block.held)
        return measured


def limits(dtype: np.dtype[Any], low: float, high: float) -> tuple[Any, Any]:
    """The trusted range in numbers of the type of the pixels."""
    if dtype == np.int32:
        info = np.iinfo(np.int32)
        return np.int32(np.clip(np.ceil(low), info.min, info.max)), np.int32(
            np.clip(np.floor(high), info.min, info.max)
        )
    return float(low), float(high)
