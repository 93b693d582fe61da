"""From headers to sweeps, stills and grids."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from spindle.errors import fault
from spindle.geometry import nearest_turn, unwrapped
from spindle.models import STILL_WIDTH_DEG, Beam, Detector, Goniometer, Scan
from spindle_lib_importing.comparing import Difference, beam_differences, detector_differences, goniometer_differences

from .files import NumberedFile, refuse_doubles, template_of
from .headers import Header
from .numbering import number_files

# Without a tolerance from the user: steps may differ from the width by this fraction of it.
STEP_TOLERANCE = 0.03


@dataclass(slots=True)
class Frame:
    """One image with its models, shared by identity between images that have the same."""

    header: Header
    number: int
    beam: Beam
    detector: Detector
    goniometer: Goniometer | None
    scan: Scan | None

    @property
    def width(self) -> float:
        """Width in degrees; 0 without a scan."""
        return 0.0 if self.scan is None else self.scan.oscillation_deg[1]

    @property
    def start(self) -> float:
        """Start angle in degrees."""
        return 0.0 if self.scan is None else self.scan.oscillation_deg[0]


@dataclass(slots=True)
class Run:
    """Images that belong together.

    Attributes
    ----------
    kind : "sweep", "still" or "image"
        "still" has a scan of zero width and shares its template with its neighbours; "image" has no scan.
    series : Series
    frames : list of Frame
    """

    kind: str
    series: Series
    frames: list[Frame]


@dataclass(slots=True)
class Series:
    """Images whose file names differ in the number only, or the images of one file.

    Attributes
    ----------
    template : str
    frames : list of Frame
    is_container : bool
        One file of many images.
    number_field : (int, int) or None
        As `spindle.models.ImageSet` has it.
    is_numbered : bool
        Whether the name has a number.
    """

    template: str
    frames: list[Frame]
    is_container: bool = False
    number_field: tuple[int, int] | None = None
    is_numbered: bool = True

    @property
    def is_literal(self) -> bool:
        """Whether ``#`` in the name is no digit."""
        return self.is_container or (not self.is_numbered and "#" in self.template)


@dataclass(frozen=True, slots=True)
class Break:
    """Why two neighbouring images of a series are not in one sweep.

    Attributes
    ----------
    template : str
    before, after : int
        Image numbers.
    expected, found, remedy : str
        As `spindle.errors.fault` takes them.
    differences : tuple of Difference
    """

    template: str
    before: int
    after: int
    expected: str
    found: str
    remedy: str
    differences: tuple[Difference, ...] = ()


class SharedModels:
    """Replaces equal models by one and the same object."""

    def __init__(self, tolerance: Any) -> None:
        self.tolerance = tolerance
        self._beams: list[Beam] = []
        self._detectors: list[Detector] = []
        self._goniometers: list[Goniometer] = []

    def beam(self, model: Beam) -> Beam:
        """The first beam that is the same as `model`."""
        return self._find(self._beams, model, beam_differences)

    def detector(self, model: Detector) -> Detector:
        """The first detector that is the same as `model`."""
        return self._find(self._detectors, model, detector_differences)

    def goniometer(self, model: Goniometer | None) -> Goniometer | None:
        """The first goniometer that is the same as `model`."""
        return None if model is None else self._find(self._goniometers, model, goniometer_differences)

    def _find(self, known: list[Any], model: Any, differences: Any) -> Any:
        # Neighbours are most alike: look back from the last one.
        for other in reversed(known):
            if other is model or not differences(other, model, self.tolerance):
                return other
        known.append(model)
        return model


def make_series(
    headers: list[Header],
    shared: SharedModels,
    notes: list[str] | None = None,
    given: Mapping[str, NumberedFile] | None = None,
) -> list[Series]:
    """Sort images into series, each sorted by number; series come in the order of their first image.

    `notes` is told of images that belong together by their angles and not by their names; `given` are the files
    of templates.
    """
    series: dict[tuple[str, ...], list[tuple[NumberedFile | None, Header]]] = {}
    named = number_files([h for h in headers if h.n_images == 1], [] if notes is None else notes, given)
    refuse_doubles([name for name, _ in named])
    names_of = {id(header): name for name, header in named}
    for header in headers:
        name = names_of.get(id(header))
        key = (header.path,) if name is None else (*name.series, header.format)
        series.setdefault(key, []).append((name, header))
    out = []
    for members in series.values():
        names = [name for name, _ in members if name is not None]
        if not names:
            frames = [_frame(h, h.index + 1, shared) for _, h in members]
            out.append(Series(members[0][1].path, frames, True))
            continue
        frames = [_frame(h, int(n.digits or 1), shared) for n, h in members if n is not None]
        frames.sort(key=lambda f: f.number)
        if names[0].digits:
            template = template_of(names)
            out.append(Series(template.text, frames, number_field=template.field))
        else:
            out.append(Series(names[0].path, frames, is_numbered=False))
    return out


def _frame(header: Header, number: int, shared: SharedModels) -> Frame:
    models = header.models
    return Frame(
        header,
        number,
        shared.beam(models.beam),
        shared.detector(models.detector),
        shared.goniometer(models.goniometer),
        models.scan,
    )


def split_runs(series: Series, tolerance: Any, join_stills: bool) -> tuple[list[Run], list[Break]]:
    """Cut a series where it is no longer one sweep.

    Parameters
    ----------
    series : Series
    tolerance : Params
        ``scan.oscillation`` is used.
    join_stills : bool
        Images of zero width with equal models and consecutive numbers make one run.
    """
    runs: list[Run] = []
    breaks: list[Break] = []
    for frame in series.frames:
        if frame.scan is None or frame.goniometer is None:
            kind = "image"
        else:
            kind = "still" if abs(frame.width) < STILL_WIDTH_DEG and not join_stills else "sweep"
        last = runs[-1] if runs else None
        if last is None or kind == "still" or (kind == "image" and not join_stills) or last.kind != kind:
            runs.append(Run(kind, series, [frame]))
            continue
        reason = _why_apart(series.template, last.frames[-1], frame, tolerance)
        if reason is not None:
            breaks.append(reason)
            runs.append(Run(kind, series, [frame]))
        else:
            last.frames.append(frame)
    return runs, breaks


def _why_apart(template: str, before: Frame, after: Frame, tolerance: Any) -> Break | None:
    """Why `after` does not continue the sweep of `before`; None when it does."""

    def apart(expected: str, found: str, remedy: str, differences: tuple[Difference, ...] = ()) -> Break:
        return Break(template, before.number, after.number, expected, found, remedy, differences)

    models: tuple[tuple[str, Any, Any, Callable[[Any, Any, Any], list[Difference]]], ...] = (
        ("beam", before.beam, after.beam, beam_differences),
        ("detector", before.detector, after.detector, detector_differences),
        ("goniometer", before.goniometer, after.goniometer, goniometer_differences),
    )
    different = [(name, d) for name, a, b, compare in models if a is not b for d in compare(a, b, tolerance)]
    if different:
        name, (item, first, second) = different[0]
        remedy = f"set what is wrong (geometry.{name}.*) or widen input.tolerance.{name}.*"
        if item.startswith("wavelength"):
            remedy = "set geometry.beam.wavelength=<angstrom> or widen input.tolerance.beam.wavelength="
        elif any(what in item for what in ("image size", "panels", "identifier")):
            remedy = (
                "these are images of several detectors: take those of one with template= or geometry.scan.image_range="
            )
        elif any("distance" in d[0] for _, d in different):
            remedy = "set geometry.detector.distance=<mm> or widen input.tolerance.detector.origin="
            item, first, second = next(d for _, d in different if "distance" in d[0])
        same = f"the {item} of image {before.number}, {first}"
        return apart(same, second, remedy, tuple(d for _, d in different))
    if after.number != before.number + 1:
        one, last = before.number + 1, after.number - 1
        missing = f"image {one} is missing" if one == last else f"images {one} to {last} are missing"
        remedy = f"{missing}: copy, or choose a part with geometry.scan.image_range=<first>,<last>"
        return apart(f"image {one}", f"image {after.number}", remedy)
    fraction = tolerance.scan.oscillation
    fraction = STEP_TOLERANCE if fraction is None else fraction
    width = before.width
    remedy = "if the headers are wrong set geometry.scan.oscillation=<start>,<width>, or widen input.tolerance.scan.oscillation="
    if abs(after.width - width) > fraction * max(width, STILL_WIDTH_DEG):
        return apart(f"an image width of {width:g} deg as before", f"{after.width:g} deg", remedy)
    end = before.start + width
    if abs(nearest_turn(after.start - end)) > fraction * max(width, STILL_WIDTH_DEG) + 1e-4:
        return apart(f"to start at {end:.4f} deg, where image {before.number} ends", f"{after.start:.4f} deg", remedy)
    return None


@dataclass(slots=True)
class Angles:
    """Angles of a sweep and what was noticed about them."""

    start: float
    width: float
    notes: list[str] = field(default_factory=list)


def sweep_angles(frames: list[Frame]) -> Angles:
    """Start and width of a sweep, degrees.

    The width is that of the headers unless the start angles of a long sweep say otherwise: a width rounded to 0.0333
    deg is 3.6 images off after 3600 images.
    """
    start, width = frames[0].start, frames[0].width
    angles = Angles(start, width)
    n = len(frames)
    if n < 3 or width < STILL_WIDTH_DEG:
        return angles
    starts = unwrapped([f.start for f in frames], width)
    mean = float(starts[-1] - starts[0]) / (n - 1)
    if abs(mean - width) * (n - 1) > STEP_TOLERANCE * width and abs(mean - width) < STEP_TOLERANCE * width:
        angles.width = mean
        angles.notes.append(
            fault(
                "headers, angles",
                f"a width of {mean:.6f} deg, by which the start angles advance",
                f"one rounded to {width:g} deg",
                f"{mean:.6f} deg is taken; set geometry.scan.oscillation=<start>,<width> if it is not right",
            )
        )
    return angles


def hidden_rotation(frames: list[Frame]) -> float | None:
    """Constant non-zero step, degrees, of the start angles of stills numbered in a row; None when there is none."""
    if len(frames) < 2:
        return None
    steps = np.diff(unwrapped([f.start for f in frames]))
    if any(f.scan is None for f in frames) or any(b.number != a.number + 1 for a, b in pairwise(frames)):
        return None
    if abs(steps[0]) > 1e-3 and np.allclose(steps, steps[0], rtol=0.03, atol=1e-3):
        return float(steps[0])
    return None
