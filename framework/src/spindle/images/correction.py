"""From raw pixel values to counts: (raw - pedestal) / gain, with one number per panel or one per pixel."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from spindle.files.maps import read_map
from spindle.models import Detector, ImageSet, Panel
from spindle.table.shoebox_pixels import subtract_and_divide

__all__ = ["Correction", "correct_shoeboxes", "corrections_of"]


@dataclass(frozen=True, eq=False)
class Correction:
    """Pedestal and gain of one panel.

    Attributes
    ----------
    pedestal : (1, 1) or (slow, fast) float32, counts
        Subtracted from raw values.
    gain : (1, 1) or (slow, fast) float32, counts per photon
        Divides what remains.
    """

    pedestal: np.ndarray
    gain: np.ndarray
    _of_values: dict[float, np.ndarray] = field(default_factory=dict, init=False, repr=False)
    _parts: dict[tuple[int, ...], Correction] = field(default_factory=dict, init=False, repr=False)

    @property
    def is_needed(self) -> bool:
        """Whether it changes anything."""
        return self.has_maps or bool(self.pedestal[0, 0] != 0 or self.gain[0, 0] != 1)

    @property
    def has_maps(self) -> bool:
        """Whether pixels differ."""
        return self.pedestal.size > 1 or self.gain.size > 1

    def usable(self, shape: tuple[int, int]) -> np.ndarray:
        """(slow, fast) bool: pixels with a pedestal and a positive gain."""
        good = np.isfinite(self.pedestal) & np.isfinite(self.gain) & (self.gain > 0)
        return np.ascontiguousarray(np.broadcast_to(good, shape))

    def cut(self, x0: int, x1: int, y0: int, y1: int) -> Correction:
        """The correction of a part of the panel, half open. The same object each time."""
        place = (x0, x1, y0, y1)
        if place not in self._parts:
            pedestal, gain = (
                a if a.size == 1 else np.ascontiguousarray(a[y0:y1, x0:x1]) for a in (self.pedestal, self.gain)
            )
            self._parts[place] = Correction(pedestal, gain)
        return self._parts[place]

    def apply(self, raw: np.ndarray, out: np.ndarray) -> np.ndarray:
        """Corrected values.

        Parameters
        ----------
        raw : (slow, fast) int32 or float32, counts
        out : (slow, fast) float32
            Filled and returned. Where the maps hold no usable number it is meaningless.
        """
        if not self.has_maps:
            pedestal, gain = float(self.pedestal[0, 0]), float(self.gain[0, 0])
            np.subtract(raw, pedestal, out=out, casting="unsafe")
            if gain != 1.0:
                out /= gain
            return out
        with np.errstate(divide="ignore", invalid="ignore"):
            np.subtract(raw, self.pedestal, out=out, casting="unsafe")
            np.divide(out, self.gain, out=out)
        return out

    def of_value(self, raw: float) -> np.ndarray:
        """(1, 1) or (slow, fast) float32: what a raw value becomes in each pixel. The same array each time."""
        if raw not in self._of_values:
            with np.errstate(divide="ignore", invalid="ignore"):
                self._of_values[raw] = np.asarray((np.float32(raw) - self.pedestal) / self.gain, dtype=np.float32)
        return self._of_values[raw]


# Corrections with maps that were made last: thousands of stills name the same files.
_latest: OrderedDict[tuple[object, ...], tuple[Detector, list[Correction]]] = OrderedDict()
_lock = threading.Lock()
_LATEST = 2


def _of_panel(value: float) -> np.ndarray:
    return np.full((1, 1), value, np.float32)


def corrections_of(imageset: ImageSet, detector: Detector) -> list[Correction]:
    """Corrections of all panels of a detector; a map of the image set takes the place of the panels' numbers.

    Raises
    ------
    spindle.errors.FileFormatError
        If a map cannot be read or does not fit the detector.
    """

    if not (imageset.gain or imageset.pedestal):
        return [Correction(_of_panel(p.pedestal), _of_panel(_gain(p))) for p in detector]
    key = (id(detector), _version(imageset.gain), _version(imageset.pedestal))
    with _lock:
        if key not in _latest:
            # The detector is kept too, so that no other one gets its id.
            _latest[key] = detector, _with_maps(imageset, detector)
            if len(_latest) > _LATEST:
                _latest.popitem(last=False)
        return _latest[key][1]


def _gain(panel: Panel) -> float:
    return panel.gain if panel.gain > 0 else 1.0


def _version(path: str | None) -> tuple[str, int] | None:
    """A file and when it was changed."""
    if not path:
        return None
    return path, Path(path).stat().st_mtime_ns if Path(path).exists() else 0


def _with_maps(imageset: ImageSet, detector: Detector) -> list[Correction]:
    def values(path: str | None, quantity: str, of_panel: list[float]) -> list[np.ndarray]:
        if not path:
            return [_of_panel(v) for v in of_panel]
        return [m.astype(np.float32) for m in read_map(path, detector, quantity)]

    pedestals = values(imageset.pedestal, "pedestal", [p.pedestal for p in detector])
    gains = values(imageset.gain, "gain", [_gain(p) for p in detector])
    return [Correction(p, g) for p, g in zip(pedestals, gains, strict=True)]


def correct_shoeboxes(
    corrections: list[Correction], panel: np.ndarray, bbox: np.ndarray, offsets: np.ndarray, data: np.ndarray
) -> None:
    """Correct the raw pixels of shoeboxes in place.

    Parameters
    ----------
    corrections : list of Correction
        Per panel.
    panel : (n,) int
        The panel of each shoebox.
    bbox : (n, 6) int32
        x0, x1, y0, y1, z0, z1, half open; parts outside the panel are left alone.
    offsets : (n + 1,) int64
        First pixel of each shoebox in `data`; a shoebox may be empty.
    data : (n_pixels,) float32, counts
        z slowest, x fastest.
    """
    for number, correction in enumerate(corrections):
        if correction.is_needed:
            rows = np.flatnonzero(np.asarray(panel) == number)
            subtract_and_divide(rows, bbox, offsets, correction.pedestal, correction.gain, data)
