"""The questions of the page, each a method that takes plain values and returns plain values or bytes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from spindle.errors import ParameterError
from spindle.models import Experiments
from spindle.table import ReflectionTable
from spindle_lib_pictures.display import DISPLAYS, Display
from spindle_lib_serving.allowed import AllowedFolders

from . import lattices, masking, profiles, rings, tuning
from .axes import axes_of
from .folder import listing_of
from .image_sets import ImageSets, OpenSet, Picture
from .image_sets import scene_of as scene_of_images
from .spots import Spots, reflection_of, seen_on, spots_of
from .views import encoded_region, pixel_values

__all__ = ["Desk"]

#: Spacing of the layers of silver behenate, angstrom (Huang, T. C. et al. (1993). J. Appl. Cryst. 26, 180-184).
SILVER_BEHENATE = 58.380


class Desk:
    """What is open in the viewer.

    Parameters
    ----------
    sets : ImageSets
    allowed : AllowedFolders
        Where files may be read.
    load : callable
        Experiments (None where there are none) and reflection tables of files, as the program reads them.
    settings : dict
        What the page shows first; plain values.
    predict : callable, optional
        Predictions of experiments with crystals.
    outputs : (Path, Path)
        Where masks and their parameters are written unless the page says otherwise.
    """

    #: Names of the questions.
    QUESTIONS: ClassVar[tuple[str, ...]] = (
        "state", "scene", "view", "pixels", "folder", "open", "resolution_rings", "reflections", "reflection", "predict",
        "thresholds", "strong_pixels", "find_spots", "line", "radial", "mask", "write_mask", "why_masked", "lattice", "export_rows",
    )  # fmt: skip

    def __init__(
        self,
        sets: ImageSets,
        allowed: AllowedFolders,
        load: Callable[[list[Path]], tuple[Experiments | None, list[ReflectionTable]]],
        settings: dict[str, Any],
        predict: Callable[[Experiments], ReflectionTable | None] | None = None,
        outputs: tuple[Path, Path] = (Path("pixels.npz"), Path("mask.phil")),
    ) -> None:
        self.sets, self.allowed, self.settings = sets, allowed, settings
        self.spots: list[Spots] = []
        self._load, self._predict, self.outputs = load, predict, outputs
        self._latest: tuple[Experiments, int] | None = None
        self._opening = threading.Lock()

    def _set(self, number: int) -> OpenSet:
        if not 0 <= number < len(self.sets.sets):
            raise ParameterError(f"image set {number}: {len(self.sets.sets)} are open, counted from 0")
        return self.sets.sets[number]

    def _picture(
        self, number: int, image: int, stack: int, stack_mode: str, display: Any = None
    ) -> tuple[OpenSet, Picture]:
        one = self._set(number)
        if not 0 <= image < len(one.frames):
            raise ParameterError(f"image {image}: the set has {len(one.frames)}, counted from 0")
        if not 1 <= stack <= 10_000 or stack_mode not in ("sum", "mean", "max"):
            raise ParameterError(f"stack of {stack} images by {stack_mode}: 1 to 10000 by sum, mean or max")
        return one, self.sets.shown(number, image, stack, stack_mode, display)

    def state(self, scene_of: int = -1) -> dict[str, Any]:
        """What is open, with what the page begins, and the `scene` of a set, None where there is none of that number."""
        return {
            "sets": [
                {"name": s.name, "n_images": len(s.frames), "first": s.number(0), "has_geometry": s.has_geometry} for s in self.sets.sets
            ],
            "settings": self.settings,
            "scene": scene_of_images(self.sets.sets[scene_of]) if 0 <= scene_of < len(self.sets.sets) else None,
            "folders": self.allowed.roots,
            "tables": [{"name": s.name, "n": len(s.table)} for s in self.spots],
            "has_crystals": any(e.crystal is not None for e in self.sets.experiments),
        }  # fmt: skip

    def scene(self, set: int) -> dict[str, Any]:
        """Panels, beam and scan of an image set."""
        return scene_of_images(self._set(set))

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
        finer: int = 1,
        display: str = "image",
        settings: dict[str, Any] | None = None,
    ) -> bytes:
        """A part of an image, one byte for each group of pixels."""
        one, picture = self._picture(set, image, stack, stack_mode, _display(display, settings or {}))
        _within(x0=x0, y0=y0, width=width, height=height, binning=binning)
        if width < 1 or height < 1 or not 1 <= binning <= 1000 or mode not in ("max", "mean") or not 1 <= finer <= 16:
            raise ParameterError(f"a view of {width} x {height} groups of {binning} pixels by {mode} cannot be made")
        return encoded_region(one, picture, x0, y0, width, height, binning, mode, finer)

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
            experiments, tables = self._load([Path(p) for p in paths])
            opened = [] if experiments is None else self.add(experiments)
            if tables:
                self.add_reflections(tables, [Path(p).name for p in paths if p.endswith(".refl")])
        if not opened and not tables:
            raise ParameterError(f"{paths[0]}: holds no images")
        return {"opened": opened, **self.state()}

    def add(self, experiments: Experiments) -> list[int]:
        """Open the images of experiments; return the numbers of their sets."""
        self._latest = (experiments, len(self.sets.experiments))
        return self.sets.add(experiments)

    def add_reflections(self, tables: list[ReflectionTable], names: list[str]) -> None:
        """Show reflections of the experiments that were opened last."""
        if self._latest is None:
            raise ParameterError("reflections need their experiments; open the experiment file first")
        experiments, first = self._latest
        highest = max((int(t["id"].max(initial=-1)) for t in tables if "id" in t), default=-1)
        if highest >= len(experiments):
            raise ParameterError(
                f"the reflections belong to {highest + 1} experiments, {len(experiments)} are open; open the experiment file that "
                "was written with them"
            )
        self.spots += spots_of(tables, experiments, first, names or [f"reflections {k}" for k in range(len(tables))])

    def reflections(self, set: int, image: int, d_min: float | None = None) -> dict[str, Any]:
        """What all tables hold of an image, and the axes of its crystals."""
        one = self._image(set, image)
        z = one.array_index(image)
        members = [(m, self.sets.experiments[m]) for m in one.members]
        return {
            "tables": [seen_on(spots, k, one, image, d_min) for k, spots in enumerate(self.spots)],
            "axes": axes_of(members, z),
        }

    def reflection(self, table: int, row: int) -> dict[str, Any]:
        """All that is known of one reflection."""
        if not 0 <= table < len(self.spots) or not 0 <= row < len(self.spots[table].table):
            raise ParameterError(f"row {row} of table {table}: there is none")
        return reflection_of(self.spots[table], row)

    def predict(self) -> dict[str, Any]:
        """Predict the reflections of the experiments that were opened last."""
        if self._latest is None or self._predict is None:
            raise ParameterError("there are no experiments to predict for")
        with self._opening:
            table = self._predict(self._latest[0])
            if table is None:
                raise ParameterError("there is no crystal to predict for; run spindle index first")
            self.add_reflections([table], ["predicted"])
        return {"n": len(table), **self.state()}

    def lattice(self) -> bytes:
        """Spots and lattices of what was opened last, in reciprocal space."""
        experiments, tables = self._latest_spots()
        return lattices.points_message(experiments, [t.table for t in tables], [t.name for t in tables])

    def export_rows(self, bits: str, name: str = "selection.refl", replace: bool = False) -> dict[str, Any]:
        """Write rows of the reflections of the page of reciprocal space; see `lattices.write_rows`."""
        path = Path(name)
        if path.suffix != ".refl" or str(path.absolute().parent) not in self.allowed:
            raise ParameterError(f"{name}: selections are written as .refl below {', '.join(self.allowed.roots)}")
        return lattices.write_rows([t.table for t in self._latest_spots()[1]], bits, path, replace)

    def _latest_spots(self) -> tuple[Experiments, list[Spots]]:
        if self._latest is None:
            raise ParameterError("no experiments are open; open an .expt file and its .refl")
        experiments, first = self._latest
        return experiments, [s for s in self.spots if s.first == first]

    def _image(self, number: int, image: int) -> OpenSet:
        one = self._set(number)
        if not 0 <= image < len(one.frames):
            raise ParameterError(f"image {image}: the set has {len(one.frames)}, counted from 0")
        return one

    def thresholds(self) -> list[dict[str, Any]]:
        """Thresholds and their parameters."""
        return tuning.fields_of_thresholds()

    def strong_pixels(self, set: int, image: int, algorithm: str, values: dict[str, Any]) -> bytes:
        """Pixels that a threshold finds."""
        return tuning.strong_pixels(self._image(set, image), image, algorithm, values)

    def find_spots(self, set: int, image: int, algorithm: str, values: dict[str, Any]) -> dict[str, Any]:
        """Spots of one image."""
        return tuning.find_spots(self._image(set, image), image, algorithm, values)

    def line(
        self, set: int, image: int, x0: float, y0: float, x1: float, y1: float, stack: int = 1, stack_mode: str = "sum"
    ) -> dict[str, Any]:
        """Values along a line."""
        one, picture = self._picture(set, image, stack, stack_mode)
        _within(x0=x0, y0=y0, x1=x1, y1=y1)
        return profiles.line_profile(one, picture, x0, y0, x1, y1)

    def radial(self, set: int, image: int, stack: int = 1, stack_mode: str = "sum") -> dict[str, Any]:
        """Mean by scattering angle."""
        one, picture = self._picture(set, image, stack, stack_mode)
        return profiles.radial_profile(one, picture)

    def mask(self, set: int, rules: dict[str, Any], shapes: list[dict[str, Any]]) -> dict[str, Any]:
        """Mask by rules and shapes; nothing is written."""
        return masking.apply_rules(self._set(set), masking.params_of(rules, shapes))

    def write_mask(
        self, set: int, rules: dict[str, Any], shapes: list[dict[str, Any]], name: str = "", replace: bool = False
    ) -> dict[str, Any]:
        """Write the mask file of rules and shapes."""
        mask = Path(name) if name else self.outputs[0]
        if str(mask.absolute().parent) not in self.allowed:
            raise ParameterError(f"{mask}: masks are written below {', '.join(self.allowed.roots)} only")
        if name and mask.suffix != ".npz":  # which no image and no other input is
            raise ParameterError(f"{mask}: masks are written as .npz; give such a name")
        phil = self.outputs[1] if not name else mask.with_suffix(".phil")
        return masking.write_mask_files(self._set(set), masking.params_of(rules, shapes), mask, phil, replace)

    def why_masked(self, set: int, image: int, panel: int, x: int, y: int) -> list[str]:
        """Why a pixel is not used."""
        return masking.reasons(self._image(set, image), image, panel, x, y)

    def resolution_rings(
        self,
        set: int,
        kind: str = "rings",
        unit_cell: list[float] | None = None,
        space_group: str = "P1",
        d_min: float | None = None,
        only: list[Any] | None = None,
    ) -> list[dict[str, Any]]:
        """Rings of round resolutions, of ice, or of the powder of a unit cell, as lines in the picture."""
        one = self._set(set)
        detector, beam = one.experiment.detector, one.experiment.beam
        corner = detector.max_resolution(beam.s0)
        if kind == "rings":
            spacings = rings.round_spacings(detector, beam)
        elif kind == "silver":
            spacings = [SILVER_BEHENATE / k for k in range(1, 200) if SILVER_BEHENATE / k >= corner]
        elif kind == "ice":
            spacings = rings.ice_spacings(max(corner, d_min or 0.0))
        else:
            if unit_cell is None:
                raise ParameterError("unit_cell: six numbers expected")
            spacings = rings.powder_spacings(unit_cell, space_group, max(corner, d_min or 0.0), only or ())
        found = []
        for d in spacings[:200]:
            lines = []
            for panel, xy in rings.ring_lines(detector, beam, d):
                place = one.canvas.placements[panel]
                lines.append(np.round(xy @ place[:, :2].T + place[:, 2], 2).ravel().tolist())
            found.append({"d": d, "lines": lines})
        return found


def _display(name: str, settings: dict[str, Any]) -> Any:
    """What is shown of an image instead of itself."""
    if name not in DISPLAYS:
        raise ParameterError(f"display {name}: choose one of {', '.join(DISPLAYS)}")
    try:
        given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}
        return Display(name, **given)
    except (TypeError, ValueError) as error:
        raise ParameterError(f"display {name}: {error}") from error


def _within(**numbers: float) -> None:
    for name, value in numbers.items():
        if abs(value) > 10**7:
            raise ParameterError(f"{name}={value}: no place in a picture")
