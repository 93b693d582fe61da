"""Masks that a user asks for: edges, resolution limits, ice rings and untrusted shapes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

import spindle_lib_ice as ice
from spindle.errors import ParameterError
from spindle.models import Beam, Detector
from spindle.params import Bool, Float, Floats, Int, Ints, Params, SpaceGroup, UnitCell, walk

__all__ = ["MaskingParams", "generate_masks", "masked_by_rule", "resolution_map"]

# Rows of a panel whose resolutions are computed at once.
_ROWS = 64

# The latest masks, since one detector is asked for again and again: by every still, by every request to a server.
_latest: OrderedDict[tuple[Any, ...], list[np.ndarray] | None] = OrderedDict()
_latest_lock = threading.Lock()
_LATEST = 4


class MaskingParams(Params):
    """Which pixels are left out."""

    border = Int(
        0,
        min=0,
        max=1_000_000,
        none=True,
        units="px",
        help="Width of the frame of pixels that is masked along the edges of each panel.",
    )
    d_min = Float(None, min=0, units="angstrom", help="Mask pixels of this resolution and higher (smaller d).")
    d_max = Float(None, min=0, units="angstrom", help="Mask pixels of this resolution and lower (larger d).")
    disable_parallax_correction = Bool(
        False, help="Compute the resolution of pixels without allowing for depth in the sensor."
    )
    resolution_range = Floats(
        None, size=2, multiple=True, units="angstrom", help="Mask pixels in this range of d; may be repeated."
    )

    class untrusted(Params, multiple=True):
        """A part of a panel that is not to be used; may be repeated."""

        panel = Int(
            None,
            min=0,
            help="Number of the panel, counted from 0; needed where the detector has several. Without a shape, the whole "
            "panel is masked.",
        )
        circle = Ints(None, size=3, units="px", help="Centre x, y and radius.")
        rectangle = Ints(None, size=4, units="px", help="x0, x1, y0, y1, half open.")
        polygon = Ints(None, min=0, units="px", help="Corners x1, y1, x2, y2, x3, y3, ...")
        pixel = Ints(None, size=2, min=0, units="px", help="One pixel: y, x.")

    class ice_rings(Params):
        """Leave out the powder rings of ice."""

        filter = Bool(False, help="Mask the rings.")
        unit_cell = UnitCell(ice.UNIT_CELL, help="Cell of the ice; hexagonal by default.", level=1, qualified=True)
        space_group = SpaceGroup(ice.SPACE_GROUP, help="Its space group.", level=1, qualified=True)
        width = Float(ice.WIDTH, min=0, units="1/angstrom^2", help="Width of a ring in 1/d^2.", level=1)
        d_min = Float(
            None,
            min=0,
            units="angstrom",
            help="Highest resolution of the rings; that of the detector by default.",
            level=1,
        )


def resolution_map(detector: Detector, panel: int, beam: Beam) -> np.ndarray:
    """Resolution at the centre of each pixel of a panel.

    Returns
    -------
    (slow, fast) float64, angstrom
    """
    width, height = detector[panel].image_size
    out = np.empty((height, width))
    x = np.arange(width) + 0.5
    for top in range(0, height, _ROWS):
        rows = np.arange(top, min(top + _ROWS, height)) + 0.5
        xy = np.empty((len(rows), width, 2))
        xy[..., 0] = x
        xy[..., 1] = rows[:, None]
        out[top : top + len(rows)] = detector.resolution_at(panel, xy.reshape(-1, 2), beam.s0).reshape(len(rows), width)
    return out


def _shape_pixels(shape: Any, where: str, size: tuple[int, int]) -> np.ndarray:
    """(slow, fast) bool: pixels of one untrusted shape on a panel of `size` (slow, fast)."""
    height, width = size
    inside = np.zeros(size, np.bool_)
    given = [n for n in ("circle", "rectangle", "polygon", "pixel") if getattr(shape, n) is not None]
    if not given:
        inside[:] = True
    if shape.circle is not None:
        x, y, radius = shape.circle
        rows, columns = np.ogrid[:height, :width]
        # Measured to the corner of a pixel, not to its centre, as in DIALS: masks of both programs are the same.
        inside |= (columns - x) ** 2 + (rows - y) ** 2 < radius**2
    if shape.rectangle is not None:
        x0, x1, y0, y1 = shape.rectangle
        if x1 <= x0 or y1 <= y0:
            raise ParameterError(
                f"{where}.rectangle={x0},{x1},{y0},{y1}: the order is x0,x1,y0,y1 with x0 < x1 and y0 < y1"
            )
        inside[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] = True
    if shape.polygon is not None:
        if len(shape.polygon) < 6 or len(shape.polygon) % 2:
            raise ParameterError(
                f"{where}.polygon has {len(shape.polygon)} numbers: give x, y of at least three corners"
            )
        inside |= _inside_polygon(np.array(shape.polygon, dtype=np.float64).reshape(-1, 2), width, height)
    if shape.pixel is not None:
        y, x = shape.pixel
        if y >= height or x >= width:
            raise ParameterError(
                f"{where}.pixel={y},{x}: the panel has {height} rows and {width} columns; the order is y,x"
            )
        inside[y, x] = True
    return inside


def _inside_polygon(corners: np.ndarray, width: int, height: int) -> np.ndarray:
    """(slow, fast) bool: pixels whose centre lies in a polygon (even-odd rule)."""
    x, y = np.arange(width) + 0.5, np.arange(height) + 0.5
    inside = np.zeros((height, width), np.bool_)
    for (x1, y1), (x2, y2) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        crosses = (y1 > y) != (y2 > y)
        if y1 != y2:
            at = x1 + (y[crosses] - y1) * (x2 - x1) / (y2 - y1)
            inside[crosses] ^= x[None, :] < at[:, None]
    return inside


def masked_by_rule(
    params: Any, detector: Detector, beam: Beam, scope: str = ""
) -> Iterator[tuple[str, int, np.ndarray]]:
    """Pixels that each rule of the parameters masks, rule by rule within each panel.

    Parameters
    ----------
    params : MaskingParams
    detector : Detector
    beam : Beam
    scope : str
        Dotted name of `params` for error messages.

    Yields
    ------
    rule : str
        Name of the parameter, with its number where it may be repeated ("untrusted[0]").
    panel : int
    masked : (slow, fast) bool
        True is masked. Nothing is yielded for a panel that a rule does not speak of.

    Raises
    ------
    ParameterError
        If a shape makes no sense for this detector.
    """
    for k, shape in enumerate(params.untrusted):
        where, number = f"{scope}untrusted[{k}]", shape.panel or 0
        if shape.panel is None and len(detector) > 1:
            raise ParameterError(
                f"{where}: the detector has {len(detector)} panels: say which one with {where.partition('[')[0]}.panel= (0 to "
                f"{len(detector) - 1}), once for each shape"
            )
        if number >= len(detector):
            raise ParameterError(f"{where}.panel={number}: the detector has {len(detector)} panels, counted from 0")
        size = detector[number].image_size
        yield f"untrusted[{k}]", number, _shape_pixels(shape, where, (size[1], size[0]))
    if params.border:
        b = params.border
        for number, panel in enumerate(detector):
            edge = np.ones((panel.image_size[1], panel.image_size[0]), np.bool_)
            edge[b:-b, b:-b] = False
            yield "border", number, edge
    rings = params.ice_rings
    if params.d_min is None and params.d_max is None and not params.resolution_range and not rings.filter:
        return
    geometry = detector
    if params.disable_parallax_correction:
        geometry = detector.replace_panels([replace(p, parallax="none") for p in detector])
    intervals = np.empty((0, 2))
    if rings.filter:
        # Beyond half the wavelength nothing diffracts; near it the list of rings would be endless and of no use.
        d_min = rings.d_min or max(detector.max_resolution(beam.s0), 0.5 * beam.wavelength)
        intervals = ice.ring_intervals(d_min, rings.width, rings.unit_cell, rings.space_group)
    for number in range(len(detector)):
        d = resolution_map(geometry, number, beam)
        if params.d_min is not None:
            yield "d_min", number, d <= params.d_min
        if params.d_max is not None:
            yield "d_max", number, d >= params.d_max
        for k, ends in enumerate(params.resolution_range or ()):
            yield f"resolution_range[{k}]", number, (d >= min(ends)) & (d <= max(ends))
        if rings.filter:
            yield "ice_rings", number, ice.in_intervals(1.0 / d**2, intervals)


def generate_masks(params: Any, detector: Detector, beam: Beam, scope: str = "") -> list[np.ndarray] | None:
    """Masks of all panels that the parameters ask for.

    Parameters
    ----------
    params : MaskingParams
    detector : Detector
    beam : Beam
    scope : str
        Dotted name of `params` for error messages.

    Returns
    -------
    list of (slow, fast) bool, or None
        True is good; None when nothing is asked for.

    Raises
    ------
    ParameterError
        If a shape or a range makes no sense for this detector, or nothing is left.
    """
    geometry = tuple(array.tobytes() for array in detector.geometry)
    key = (repr([(e.path, e.value) for e in walk(params)]), geometry, beam.s0.tobytes())
    with _latest_lock:
        known = key in _latest
        masks = _latest.get(key)
    if not known:
        for _, panel, masked in masked_by_rule(params, detector, beam, scope):
            if masks is None:
                masks = [np.ones((p.image_size[1], p.image_size[0]), np.bool_) for p in detector]
            masks[panel] &= ~masked
    with _latest_lock:
        _latest[key] = masks
        _latest.move_to_end(key)
        if len(_latest) > _LATEST:
            _latest.popitem(last=False)
    if masks is not None and not any(good.any() for good in masks):
        raise ParameterError(
            f"{f'the parameters of {scope[:-1]}' if scope else 'the mask parameters'} mask every pixel of the detector; "
            "check d_min, d_max, border, untrusted"
        )
    return None if masks is None else [good.copy() for good in masks]
