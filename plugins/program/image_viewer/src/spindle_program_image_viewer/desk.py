"""The questions of the page, each a method that takes plain values and returns plain values or bytes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from spindle.errors import ParameterError
from spindle.models import Experiments
from spindle_lib_serving.allowed import AllowedFolders

from . import rings
from .folder import listing_of
from .image_sets import ImageSets, OpenSet, Picture, scene_of
from .views import encoded_region, pixel_values

__all__ = ["Desk"]


class Desk:
    """What is open in the viewer.

    Parameters
    ----------
    sets : ImageSets
    allowed : AllowedFolders
        Where files may be read.
    load : callable
        Experiments of files, as the program reads them.
    settings : dict
        What the page shows first; plain values.
    """

    #: Names of the questions.
    QUESTIONS: ClassVar[tuple[str, ...]] = ("state", "scene", "view", "pixels", "folder", "open", "resolution_rings")

    def __init__(
        self,
        sets: ImageSets,
        allowed: AllowedFolders,
        load: Callable[[list[Path]], Experiments],
        settings: dict[str, Any],
    ) -> None:
        self.sets, self.allowed, self.settings = sets, allowed, settings
        self._load = load
        self._opening = threading.Lock()

    def _set(self, number: int) -> OpenSet:
        if not 0 <= number < len(self.sets.sets):
            raise ParameterError(f"image set {number}: {len(self.sets.sets)} are open, counted from 0")
        return self.sets.sets[number]

    def _picture(self, number: int, image: int, stack: int, stack_mode: str) -> tuple[OpenSet, Picture]:
        one = self._set(number)
        if not 0 <= image < len(one.frames):
            raise ParameterError(f"image {image}: the set has {len(one.frames)}, counted from 0")
        if not 1 <= stack <= 10_000 or stack_mode not in ("sum", "mean", "max"):
            raise ParameterError(f"stack of {stack} images by {stack_mode}: 1 to 10000 by sum, mean or max")
        return one, self.sets.picture(number, image, stack, stack_mode)

    def state(self) -> dict[str, Any]:
        """What is open, and with what the page begins."""
        return {
            "sets": [
                {"name": s.name, "n_images": len(s.frames), "first": s.number(0)} for s in self.sets.sets
            ],
            "settings": self.settings,
            "folders": self.allowed.roots,
        }  # fmt: skip

    def scene(self, set: int) -> dict[str, Any]:
        """Panels, beam and scan of an image set."""
        return scene_of(self._set(set))

    def view(
        self,
        set: int,
        image: int,
        x0: int,
        y0: int,
        width: int,
        height: int,
        binning: int,
        mode: str = "max",
        stack: int = 1,
        stack_mode: str = "sum",
    ) -> bytes:
        """A part of an image, one byte for each group of pixels."""
        one, picture = self._picture(set, image, stack, stack_mode)
        _within(x0=x0, y0=y0, width=width, height=height, binning=binning)
        if width < 1 or height < 1 or not 1 <= binning <= 1000 or mode not in ("max", "mean"):
            raise ParameterError(f"a view of {width} x {height} groups of {binning} pixels by {mode} cannot be made")
        return encoded_region(one, picture, x0, y0, width, height, binning, mode)

    def pixels(
        self,
        set: int,
        image: int,
        x0: int,
        y0: int,
        width: int,
        height: int,
        stack: int = 1,
        stack_mode: str = "sum",
    ) -> bytes:
        """Values of pixels."""
        one, picture = self._picture(set, image, stack, stack_mode)
        _within(x0=x0, y0=y0, width=width, height=height)
        return pixel_values(one, picture, x0, y0, width, height)

    def folder(self, path: str = "") -> dict[str, Any]:
        """What a folder holds that can be opened."""
        return listing_of(path or self.allowed.roots[0], self.allowed)

    def open(self, paths: list[str]) -> dict[str, Any]:
        """Open images or experiments, as on the command line."""
        if not paths:
            raise ParameterError("paths: a list of names of files expected")
        for path in paths:
            self.allowed.check(path, "file")
        with self._opening:
            experiments = self._load([Path(p) for p in paths])
            opened = self.sets.add(experiments)
        if not opened:
            raise ParameterError(f"{paths[0]}: holds no images")
        return {"opened": opened, **self.state()}

    def resolution_rings(
        self,
        set: int,
        kind: str = "rings",
        unit_cell: list[float] | None = None,
        space_group: str = "P1",
        d_min: float | None = None,
    ) -> list[dict[str, Any]]:
        """Rings of round resolutions, of ice, or of the powder of a unit cell, as lines in the picture."""
        one = self._set(set)
        detector, beam = one.experiment.detector, one.experiment.beam
        corner = detector.max_resolution(beam.s0)
        if kind == "rings":
            spacings = rings.round_spacings(detector, beam)
        elif kind == "ice":
            spacings = rings.ice_spacings(max(corner, d_min or 0.0))
        else:
            if unit_cell is None:
                raise ParameterError("unit_cell: six numbers expected")
            spacings = rings.powder_spacings(unit_cell, space_group, max(corner, d_min or 0.0))
        found = []
        for d in spacings[:200]:
            lines = []
            for panel, xy in rings.ring_lines(detector, beam, d):
                place = one.canvas.placements[panel]
                lines.append(np.round(xy @ place[:, :2].T + place[:, 2], 2).ravel().tolist())
            found.append({"d": d, "lines": lines})
        return found


def _within(**numbers: int) -> None:
    for name, value in numbers.items():
        if abs(value) > 10**7:
            raise ParameterError(f"{name}={value}: no place in a picture")
