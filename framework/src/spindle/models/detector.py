"""The detector: panels in the laboratory frame, with their tree of groups and the depth of the sensor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple, overload

import numpy as np

from spindle.errors import ModelError
from spindle.geometry import panels as kernels

from .arrays import fixed_array, number, unit_vector, whole_number
from .descriptions import Described, numbers
from .distortion import Distortion

PARALLAX_CODES = {"none": 0, "dials": 1, "normalised": 2}


PIXEL_SIZES = (0.001, 10.0)  # mm
MAX_PIXELS = 200_000  # along one side
BLOCK = 2**16  # points that are worked out at a time


def _numbers(value: Any, n: int | None, name: str) -> tuple[Any, ...]:
    """The items of a sequence, n of them unless n is None."""
    try:
        items = tuple(value)
    except TypeError as error:
        raise ModelError(f"{name} is {value!r}: {n or 'some'} numbers expected") from error
    if n is not None and len(items) != n:
        raise ModelError(f"{name} has {len(items)} numbers, {n} expected")
    return items


class PanelGeometry(NamedTuple):
    """Arrays over panels, as the kernels take them.

    Attributes
    ----------
    d, D : (n, 3, 3) float64
        Columns fast, slow, origin (mm), and the inverse (zero where the plane passes through the origin).
    pixel_size : (n, 2) float64, mm
    image_size : (n, 2) int64
        Pixels (fast, slow).
    mu, thickness : (n,) float64, 1/mm and mm
    parallax : (n,) int64
        0 none, 1 mean depth over all photons, 2 mean depth of the detected photons.
    """

    d: np.ndarray
    D: np.ndarray
    pixel_size: np.ndarray
    image_size: np.ndarray
    mu: np.ndarray
    thickness: np.ndarray
    parallax: np.ndarray


@dataclass(frozen=True, eq=False)
class Panel:
    """A flat rectangle of pixels.

    Attributes
    ----------
    fast_axis, slow_axis : (3,) float64
        Unit vectors in the laboratory frame.
    origin : (3,) float64, mm
        Laboratory position of the outer corner of the first pixel.
    pixel_size : (2,) float64, mm
        Fast, slow.
    image_size : (int, int)
        Pixels, fast, slow.
    name, type, identifier : str
        As the image or the file says.
    trusted_range : (float, float)
        A raw value v can be used when low <= v <= high.
    thickness : float, mm
        Of the sensor; 0 is unknown.
    material : str
        Of the sensor, such as "Si".
    mu : float, 1/mm
        Attenuation coefficient of the sensor at the wavelength of the beam.
    gain : float, counts per photon
        Values of pixels are raw values less the pedestal, divided by the gain.
    pedestal : float, counts
    mask : tuple of (f0, s0, f1, s1)
        Untrusted rectangles, half open, pixels.
    parallax : "none", "dials" or "normalised"
        Which mean depth in the sensor the conversion between pixels and mm allows for. "dials" averages the depth over
        all photons, "normalised" over those that the sensor stops, which is what the image shows.
    distortion : Distortion or None
        Shifts of pixels that the conversion between pixels and mm allows for, too.
    raw_image_offset : (int, int)
        Where the panel begins in the image of the file, pixels, fast, slow.
    extra : dict
        Unknown keys of the file, kept for writing.
    """

    fast_axis: np.ndarray
    slow_axis: np.ndarray
    origin: np.ndarray
    pixel_size: np.ndarray
    image_size: tuple[int, int]
    name: str = "Panel"
    type: str = "SENSOR_PAD"
    trusted_range: tuple[float, float] = (0.0, 65535.0)
    thickness: float = 0.0
    material: str = ""
    mu: float = 0.0
    gain: float = 1.0
    pedestal: float = 0.0
    mask: tuple[tuple[int, int, int, int], ...] = ()
    identifier: str = ""
    raw_image_offset: tuple[int, int] = (0, 0)
    parallax: str = "none"
    extra: dict[str, Any] = field(default_factory=dict)
    distortion: Distortion | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "fast_axis", unit_vector(self.fast_axis, f"fast_axis of panel {self.name}"))
        object.__setattr__(self, "slow_axis", unit_vector(self.slow_axis, f"slow_axis of panel {self.name}"))
        object.__setattr__(self, "origin", fixed_array(self.origin, (3,), f"origin of panel {self.name}"))
        object.__setattr__(self, "pixel_size", fixed_array(self.pixel_size, (2,), f"pixel_size of panel {self.name}"))
        for value in self.pixel_size:
            number(value, f"pixel_size of panel {self.name}", *PIXEL_SIZES, "mm")
        if abs(self.fast_axis @ self.slow_axis) > 1e-3:
            raise ModelError(
                f"panel {self.name}: the fast axis {self.fast_axis.tolist()} and the slow axis {self.slow_axis.tolist()} are "
                "not perpendicular"
            )
        self._set_numbers()
        if self.parallax not in PARALLAX_CODES:
            raise ModelError(f"panel {self.name}: parallax={self.parallax}; choose one of {', '.join(PARALLAX_CODES)}")
        if self.parallax != "none" and not (self.mu > 0 and self.thickness > 0):
            raise ModelError(
                f"panel {self.name}: a parallax correction needs mu > 0 and thickness > 0, found mu={self.mu}/mm and "
                f"thickness={self.thickness} mm; set geometry.detector.panel.thickness= and material=, or "
                "geometry.parallax=none"
            )

    def _set_numbers(self) -> None:
        """Check what is not a vector, and set it with its type."""
        where = f"of panel {self.name}"
        sizes = _numbers(self.image_size, 2, f"image_size {where}")
        sizes = tuple(whole_number(v, f"image_size {where}", 1, MAX_PIXELS) for v in sizes)
        object.__setattr__(self, "image_size", sizes)
        low, high = (
            number(v, f"trusted_range {where}") for v in _numbers(self.trusted_range, 2, f"trusted_range {where}")
        )
        if low > high:
            raise ModelError(f"trusted_range {where} is {low:g} to {high:g}: the lower end first")
        object.__setattr__(self, "trusted_range", (low, high))
        for name, least, most in (("thickness", 0.0, 1e3), ("mu", 0.0, 1e9), ("pedestal", -1e12, 1e12)):
            object.__setattr__(self, name, number(getattr(self, name), f"{name} {where}", least, most))
        gain = number(self.gain, f"gain {where}", 0.0, 1e12)
        if gain == 0:
            raise ModelError(f"gain {where} is 0: a positive number expected")
        object.__setattr__(self, "gain", gain)
        offset = _numbers(self.raw_image_offset, 2, f"raw_image_offset {where}")
        offset = tuple(whole_number(v, f"raw_image_offset {where}") for v in offset)
        object.__setattr__(self, "raw_image_offset", offset)
        rectangles = []
        for rectangle in _numbers(self.mask, None, f"mask {where}"):
            f0, s0, f1, s1 = (
                whole_number(v, f"mask {where}", 0) for v in _numbers(rectangle, 4, f"a mask rectangle {where}")
            )
            if f0 > f1 or s0 > s1:
                raise ModelError(f"mask {where} holds the rectangle {f0} {s0} {f1} {s1}: first corner first")
            rectangles.append((f0, s0, f1, s1))
        object.__setattr__(self, "mask", tuple(rectangles))

    @property
    def d(self) -> np.ndarray:
        """(3, 3) float64, mm: columns fast, slow, origin."""
        return np.stack([self.fast_axis, self.slow_axis, self.origin], axis=1)

    @property
    def normal(self) -> np.ndarray:
        """(3,) float64: fast x slow."""
        return np.cross(self.fast_axis, self.slow_axis)

    @property
    def directed_distance(self) -> float:
        """Signed distance of the plane from the sample along the normal, mm."""
        return float(self.origin @ self.normal)

    @property
    def distance(self) -> float:
        """Distance of the plane from the sample, mm."""
        return abs(self.directed_distance)

    @property
    def size_mm(self) -> np.ndarray:
        """(2,) float64, mm."""
        return np.asarray(self.pixel_size * np.array(self.image_size))


class Detector(Described, Sequence[Panel]):
    """Panels and their tree of groups.

    Parameters
    ----------
    panels : sequence of Panel
    hierarchy : dict or None
        The tree of the file: frames of groups (local to their parent) and ``children``, leaves being ``{"panel":
        index}``.
    """

    def __init__(self, panels: Sequence[Panel], hierarchy: dict[str, Any] | None = None) -> None:
        self.panels = tuple(panels)
        self.hierarchy = hierarchy
        if not self.panels:
            raise ModelError("a detector needs at least one panel")

    @overload
    def __getitem__(self, index: int) -> Panel: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Panel, ...]: ...
    def __getitem__(self, index: int | slice) -> Panel | tuple[Panel, ...]:
        return self.panels[index]

    def __len__(self) -> int:
        return len(self.panels)

    def __iter__(self) -> Iterator[Panel]:
        return iter(self.panels)

    @cached_property
    def geometry(self) -> PanelGeometry:
        """The panels as arrays for kernels."""
        d = np.ascontiguousarray([p.d for p in self.panels])
        D = np.zeros_like(d)
        for i, matrix in enumerate(d):
            if abs(np.linalg.det(matrix)) > 1e-12:
                D[i] = np.linalg.inv(matrix)
        return PanelGeometry(
            d=d,
            D=D,
            pixel_size=np.array([p.pixel_size for p in self.panels]),
            image_size=np.array([p.image_size for p in self.panels], dtype=np.int64),
            mu=np.array([p.mu for p in self.panels], dtype=np.float64),
            thickness=np.array([p.thickness for p in self.panels], dtype=np.float64),
            parallax=np.array([PARALLAX_CODES[p.parallax] for p in self.panels], dtype=np.int64),
        )

    @property
    def d(self) -> np.ndarray:
        """(n, 3, 3) float64, mm: columns fast, slow, origin of each panel."""
        return self.geometry.d

    @property
    def D(self) -> np.ndarray:
        """(n, 3, 3) float64: inverses of `d`."""
        return self.geometry.D

    def _call(self, kernel: Any, panel: Any, xy: Any) -> np.ndarray:
        xy = np.ascontiguousarray(xy, dtype=np.float64).reshape(-1, 2)
        panel = np.ascontiguousarray(np.broadcast_to(np.asarray(panel, dtype=np.int64), len(xy)))
        if len(panel) and not 0 <= panel.min() <= panel.max() < len(self.panels):  # kernels do not look
            wrong = panel.min() if panel.min() < 0 else panel.max()
            raise ModelError(
                f"a reflection lies on panel {wrong}, the detector has the panels 0 to {len(self.panels) - 1}; give the reflections "
                "and the experiments that belong together"
            )
        out = np.empty_like(xy)
        g = self.geometry
        kernel(g.d, g.pixel_size, g.mu, g.thickness, g.parallax, panel, xy, out)
        return out

    def pixel_to_mm(self, panel: Any, xy: Any) -> np.ndarray:
        """Positions in mm on the panels' front plane from pixel positions, freed from parallax.

        Parameters
        ----------
        panel : int or (n,) int
        xy : (n, 2) float64, pixels
            (0, 0) is the outer corner of the first pixel.

        Returns
        -------
        (n, 2) float64, mm
        """
        return self._call(kernels.pixel_to_mm, panel, self._shifted(panel, xy, -1.0))

    def mm_to_pixel(self, panel: Any, xy: Any) -> np.ndarray:
        """Pixel positions where rays that cross the panels' front plane at `xy` (n, 2) mm are seen."""
        return self._shifted(panel, self._call(kernels.mm_to_pixel, panel, xy), 1.0)

    def _shifted(self, panel: Any, xy: Any, sign: float) -> Any:
        """Pixel positions (n, 2) with the panels' distortion added (`sign` 1) or taken away (-1)."""
        if all(p.distortion is None for p in self.panels):
            return xy
        xy = np.array(xy, dtype=np.float64).reshape(-1, 2)
        panel = np.broadcast_to(np.asarray(panel, dtype=np.int64), len(xy))
        for index, one in enumerate(self.panels):
            if one.distortion is not None and (rows := np.flatnonzero(panel == index)).size:
                xy[rows] += sign * one.distortion.at(xy[rows])
        return xy

    def lab_coordinate(self, panel: Any, xy: Any) -> np.ndarray:
        """(n, 3) float64, mm: laboratory positions of points (n, 2) mm on the panels."""
        xy = np.asarray(xy, dtype=np.float64).reshape(-1, 2)
        panel = np.broadcast_to(np.asarray(panel, dtype=np.int64), len(xy))
        out = np.empty((len(xy), 3))
        for start in range(0, len(xy), BLOCK):  # a matrix for each point is nine times what is asked for
            here = slice(start, start + BLOCK)
            d, at = self.geometry.d[panel[here]], xy[here]
            out[here] = d[:, :, 0] * at[:, :1] + d[:, :, 1] * at[:, 1:] + d[:, :, 2]
        return out

    def lab_coordinate_of_pixel(self, panel: Any, xy: Any) -> np.ndarray:
        """(n, 3) float64, mm: laboratory positions of pixel positions (n, 2)."""
        return self.lab_coordinate(panel, self.pixel_to_mm(panel, xy))

    def resolution_at(self, panel: Any, xy: Any, s0: np.ndarray) -> np.ndarray:
        """(n,) float64, angstrom: resolution d at pixel positions (n, 2)."""
        lab = self.lab_coordinate_of_pixel(panel, xy)
        s0 = np.asarray(s0, dtype=np.float64)
        wave_number = float(np.linalg.norm(s0))
        s1 = lab / np.linalg.norm(lab, axis=1)[:, None] * wave_number
        return np.asarray(1.0 / np.maximum(np.linalg.norm(s1 - s0, axis=1), 2e-9 * wave_number))

    def max_resolution(self, s0: np.ndarray) -> float:
        """Smallest d (angstrom) at the corners of all panels."""
        best = np.inf
        for i, panel in enumerate(self.panels):
            w, h = panel.image_size
            best = min(best, float(self.resolution_at(i, [[0, 0], [w, 0], [0, h], [w, h]], s0).min()))
        return best

    def beam_centre(self, s0: np.ndarray) -> tuple[int, np.ndarray] | None:
        """Panel and position in mm where the beam hits, or None. The nearest panel that contains the point is taken."""
        found = None
        for i, panel in enumerate(self.panels):
            v = self.geometry.D[i] @ s0
            if v[2] <= 0:
                continue
            xy = v[:2] / v[2]
            if np.all(xy >= 0) and np.all(xy < panel.size_mm) and (found is None or v[2] > found[2]):
                found = (i, xy, v[2])
        return None if found is None else (found[0], found[1])

    def beam_centre_px(self, s0: np.ndarray, panel: int | None = None) -> np.ndarray | None:
        """(2,) float64, pixels: where the beam crosses a panel's plane (given, or the one it hits), without
        parallax.
        """
        if panel is None:
            hit = self.beam_centre(s0)
            if hit is None:
                return None
            panel = hit[0]
        v = self.geometry.D[panel] @ s0
        if v[2] == 0:
            return None
        return np.asarray(v[:2] / v[2] / self.panels[panel].pixel_size)

    def described(self) -> tuple[str, list[tuple[str, str]]]:
        """Panels, pixels, distance; see `Described`."""
        first = self.panels[0]
        n = len(self.panels)
        rows = [
            (
                "panels",
                f"{n}, of {first.image_size[0]} x {first.image_size[1]} pixels" + ("" if n == 1 else " (the first)"),
            ),
            ("pixel", f"{numbers(first.pixel_size)} mm"),
            ("distance", f"{abs(float(np.cross(first.fast_axis, first.slow_axis) @ first.origin)):.3f} mm"),
        ]
        if first.thickness > 0:
            rows.append(("sensor", f"{first.thickness:g} mm {first.material}"))
        return "Detector", rows

    def __repr__(self) -> str:
        return f"Detector({', '.join(f'{name} {value}' for name, value in self.described()[1])})"

    def replace_panels(self, panels: Sequence[Panel]) -> Detector:
        """The detector with other panels and the same tree."""
        return Detector(panels, self.hierarchy)

    def with_frames(self, d: np.ndarray) -> Detector:
        """The detector with its panels moved to the frames `d` (n, 3, 3), columns fast, slow, origin."""
        moved = [
            replace(p, fast_axis=m[:, 0], slow_axis=m[:, 1], origin=m[:, 2])
            for p, m in zip(self.panels, d, strict=True)
        ]
        return Detector(moved, self.hierarchy)
