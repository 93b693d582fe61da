"""Goniometer and angles of an entry, image by image."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import h5py
import numpy as np

from spindle.errors import HeaderError, fault
from spindle.geometry import image_width, unwrapped
from spindle.models import Goniometer, Scan

from .hdf import factor, finite_numbers, get, quantity, text
from .layout import Entry
from .transformations import TO_LAB, Axis, depends_on, follow

# Images narrower than this are not rotated, degrees.
_STILL = 1e-7
# Steps of one sweep agree within this fraction.
_SAME_STEP = 0.05


@dataclass(frozen=True, slots=True)
class _Moving:
    """Angles of one axis: start and width per image, degrees."""

    start: np.ndarray
    width: np.ndarray


class RotationReader:
    """Rotation of the sample in an entry.

    Parameters
    ----------
    entry : Entry
    n_images : int
    notes : list of str
        Filled.
    """

    def __init__(self, entry: Entry, n_images: int, notes: list[str]) -> None:
        self.entry = entry
        self.n_images = n_images
        self.axes = [a for a in self._chain(notes) if a.is_rotation]
        self.moving = [self._angles(axis, notes) for axis in self.axes]
        self._known = all(m is not None for m in self.moving)
        self._default = self._main_axis()
        self._goniometers: dict[tuple[object, ...], Goniometer] = {}
        self.exposure, self.period, self.epoch = self._times(notes)

    # -- axes ----------------------------------------------------------------------------------------------------------

    def _chain(self, notes: list[str]) -> list[Axis]:
        sample = self.entry.sample
        remedy = (
            "the rotation is not known: set geometry.goniometer.axis= and geometry.scan.oscillation=<start>,<width>"
        )
        if sample is None:
            notes.append(fault(self.entry.group.name, "a group of NX_class NXsample", None, remedy))
            return []
        if depends_on(sample) is None:
            axes = self._plain_axes(sample, notes)
            if not axes:
                notes.append(fault(sample.name, "depends_on with the axis next to the crystal", None, remedy))
            return axes
        try:
            return follow(sample, "the sample", notes)
        except HeaderError as error:
            notes.append(fault(error.place, error.expected, error.found, f"{error.remedy}. Without it {remedy}"))
            return []

    def _plain_axes(self, sample: h5py.Group, notes: list[str]) -> list[Axis]:
        """The omega of Dectris master files without transformations, about +x."""
        node = get(sample, "goniometer/omega")
        if not isinstance(node, h5py.Dataset) or not node.size:
            return []
        remedy = "the axis is taken along +x; set geometry.goniometer.axis= if it is not"
        notes.append(fault(node.name, "a transformation with a vector", "angles alone", remedy))
        values = finite_numbers(node) * factor(node, "angle", default="deg")
        return [Axis("omega", node.name, True, np.array([-1.0, 0.0, 0.0]), np.zeros(3), values)]

    # -- angles --------------------------------------------------------------------------------------------------------

    def _angles(self, axis: Axis, notes: list[str]) -> _Moving | None:
        """Start and width per image; None when the file does not say."""
        n = self.n_images
        values = axis.values
        if len(values) == 1:
            increments = self._increments(axis)
            width = increments[0] if increments is not None and len(increments) else 0.0
            if n > 1 and width:
                remedy = (
                    f"the others are taken to follow in steps of {width:g} deg; set geometry.scan.oscillation= if not"
                )
                notes.append(fault(axis.path, f"an angle for each of the {n} images", "one", remedy))
            return _Moving(values[0] + width * np.arange(n), np.full(n, width))
        if len(values) < n:
            remedy = "the rotation is not known: set geometry.scan.oscillation=<start>,<width>"
            notes.append(fault(axis.path, f"an angle for each of the {n} images", len(values), remedy))
            return None
        if len(values) > n + 1:
            remedy = f"the first {n} are taken; set geometry.scan.oscillation=<start>,<width> if these are others"
            notes.append(fault(axis.path, f"an angle for each of the {n} images", len(values), remedy))
        steps = np.diff(unwrapped(values[: n + 1]))
        start = values[:n]
        increments = self._increments(axis)
        if (
            increments is not None
            and (len(increments) == 1 or len(increments) >= n)
            and np.any(np.abs(increments) > _STILL)
        ):
            width = np.full(n, increments[0]) if len(increments) == 1 else increments[:n]
            # An axis that stands still while its increment is set does not rotate.
            return _Moving(start, np.where(np.ptp(values) > _STILL, width, 0.0) if len(increments) == 1 else width)
        return _Moving(start, _widths(steps, n))

    def _increments(self, axis: Axis) -> np.ndarray | None:
        """Widths that the file gives for an axis, degrees."""
        folder = self.entry.group.file[axis.path.rpartition("/")[0]]
        for name in (f"{axis.name}_increment_set", f"{axis.name}_increment", f"{axis.name}_range_average"):
            node = get(folder, name)
            if isinstance(node, h5py.Dataset) and node.size:
                return np.asarray(finite_numbers(node) * factor(node, "angle", default="deg"))
        node = get(folder, f"{axis.name}_end")
        if isinstance(node, h5py.Dataset) and node.size == axis.values.size:
            ends = finite_numbers(node) * factor(node, "angle", default="deg")
            return np.asarray(image_width(axis.values, ends))
        return None

    def _main_axis(self) -> int:
        """The axis that moves in most images; the first when none does."""
        counts = [0 if m is None else int(np.sum(np.abs(m.width) > _STILL)) for m in self.moving]
        return int(np.argmax(counts)) if counts else 0

    def _scan_axis(self, image: int) -> int:
        widths = [0.0 if m is None else abs(float(m.width[image])) for m in self.moving]
        return int(np.argmax(widths)) if widths and max(widths) > _STILL else self._default

    # -- models --------------------------------------------------------------------------------------------------------

    def models(self, image: int) -> tuple[Goniometer | None, Scan | None]:
        """Goniometer and scan of an image (0-based); None where the file does not say."""
        if not self.axes:
            return None, None
        scan_axis = self._scan_axis(image)
        moving = self.moving[scan_axis]
        start, width = (0.0, 0.0) if moving is None else (float(moving.start[image]), float(moving.width[image]))
        is_reversed = width < 0
        angles = tuple(0.0 if m is None or i == scan_axis else float(m.start[image]) for i, m in enumerate(self.moving))
        key = (scan_axis, is_reversed, angles)
        if key not in self._goniometers:
            self._goniometers[key] = self._goniometer(scan_axis, is_reversed, angles)
        goniometer = self._goniometers[key]
        if not self._known:
            return goniometer, None
        if is_reversed:
            start, width = -start, -width
        epoch = self.epoch + image * self.period if self.epoch else 0.0
        scan = Scan(
            image_range=(1, 1),
            oscillation_deg=(start, width),
            exposure_times=np.array([self.exposure]),
            epochs=np.array([epoch]),
        )
        return goniometer, scan

    def _goniometer(self, scan_axis: int, is_reversed: bool, angles: tuple[float, ...]) -> Goniometer:
        vectors = np.array([TO_LAB @ a.vector for a in self.axes])
        if is_reversed:
            vectors[scan_axis] *= -1
        vectors += 0.0  # no negative zeros
        if len(vectors) == 1:
            return Goniometer(rotation_axis=vectors[0])
        return Goniometer.multi_axis(vectors, angles, [a.name for a in self.axes], scan_axis)

    # -- times ---------------------------------------------------------------------------------------------------------

    def _times(self, notes: list[str]) -> tuple[float, float, float]:
        """Exposure time and time between images, seconds; start, seconds since 1970."""
        detector = self.entry.detector
        period = quantity(detector, "frame_time", "time", "s") or 0.0
        exposure = period or quantity(detector, "count_time", "time", "s") or 0.0
        node = get(self.entry.group, "start_time")
        if node is None:
            return exposure, period, 0.0
        try:
            moment = datetime.fromisoformat(text(node))
        except ValueError:
            notes.append(fault(node.name, "a time such as 2026-01-02T03:04:05Z", f"'{text(node)}'", "it is left out"))
            return exposure, period, 0.0
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return exposure, period, moment.timestamp()


def _widths(steps: np.ndarray, n: int) -> np.ndarray:
    """Width of each image from the steps between start angles, degrees.

    The last image of a sweep is as wide as the one before; a jump to the next sweep is no width. An image without a
    neighbour of the same step has the width zero.
    """
    width = np.zeros(n)
    for i in range(n):
        ahead = steps[i] if i < len(steps) else None
        behind = steps[i - 1] if i > 0 else None
        after = steps[i + 1] if i + 1 < len(steps) else None
        if ahead is not None and (len(steps) == 1 or _same(ahead, behind) or _same(ahead, after)):
            width[i] = ahead
        elif behind is not None and (len(steps) == 1 or (i > 1 and _same(behind, steps[i - 2]))):
            width[i] = behind
    return width


def _same(one: float, other: float | None) -> bool:
    return other is not None and abs(one - other) <= _SAME_STEP * abs(one) + _STILL


__all__ = ["RotationReader"]
