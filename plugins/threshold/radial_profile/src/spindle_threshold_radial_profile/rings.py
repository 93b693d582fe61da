"""Pixels of a panel sorted into rings of equal scattering angle, kept for the images to come."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from spindle.models import Beam, Detector, Panel

__all__ = ["RingCache", "Rings"]

# Rows of a panel whose angles are computed at once.
_ROWS = 64
# Pixels of all panels that are kept; 2 to 6 bytes each.
_MOST_PIXELS = 100_000_000


@dataclass
class Rings:
    """Rings of one panel, or of a part of it.

    Attributes
    ----------
    bins : (slow, fast) uint16
        Number of the ring of each pixel.
    n_bins : int
    """

    bins: np.ndarray
    n_bins: int

    @cached_property
    def order(self) -> np.ndarray:
        """(n_pixels,) int32: pixels sorted by ring."""
        return np.argsort(self.bins.reshape(-1), kind="stable").astype(np.int32)

    @cached_property
    def starts(self) -> np.ndarray:
        """(n_bins + 1,) int64: where each ring begins in `order`."""
        counts = np.bincount(self.bins.reshape(-1), minlength=self.n_bins)
        return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def scattering_angles(
    panel: Panel, beam: Beam, corner: tuple[int, int], shape: tuple[int, int], place: float
) -> np.ndarray:
    """Scattering angle 2 theta of pixels.

    Parameters
    ----------
    panel : Panel
    beam : Beam
    corner : (int, int), pixels
        First pixel, fast and slow.
    shape : (slow, fast)
    place : float, pixels
        Where in a pixel the angle is taken: 0.5 is the centre.

    Returns
    -------
    (slow, fast) float64, radians
    """
    detector = Detector([panel])
    s0 = beam.s0 / np.linalg.norm(beam.s0)
    height, width = shape
    angles = np.empty(shape)
    for top in range(0, height, _ROWS):
        rows = np.arange(top, min(top + _ROWS, height))
        xy = np.empty((len(rows), width, 2))
        xy[..., 0] = np.arange(width) + corner[0] + place
        xy[..., 1] = rows[:, None] + corner[1] + place
        lab = detector.lab_coordinate_of_pixel(0, xy.reshape(-1, 2))
        along = lab @ s0
        across = np.linalg.norm(np.cross(lab, s0), axis=1)
        angles[top : top + len(rows)] = np.arctan2(across, along).reshape(len(rows), width)
    return angles


class RingCache:
    """Rings of the panels that were asked for last; may be used by several threads at once.

    Parameters
    ----------
    n_bins : int
        Rings between the smallest and the largest angle of a panel.
    place : float, pixels
        Where in a pixel its angle is taken.
    """

    def __init__(self, n_bins: int, place: float) -> None:
        self.n_bins, self.place = n_bins, place
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[Any, ...], Rings] = OrderedDict()

    def of(self, panel: Panel, beam: Beam, corner: tuple[int, int], shape: tuple[int, int]) -> Rings:
        """Rings of a panel; panels and beams of the same geometry share them."""
        key = (
            panel.d.tobytes(), panel.pixel_size.tobytes(), panel.mu, panel.thickness, panel.parallax, beam.s0.tobytes(),
            tuple(corner), shape,
        )  # fmt: skip
        with self._lock:
            if key not in self._known:
                self._known[key] = self._make(panel, beam, corner, shape)
                while sum(r.bins.size for r in self._known.values()) > _MOST_PIXELS and len(self._known) > 1:
                    self._known.popitem(last=False)
            self._known.move_to_end(key)
            return self._known[key]

    def _make(self, panel: Panel, beam: Beam, corner: tuple[int, int], shape: tuple[int, int]) -> Rings:
        angles = scattering_angles(panel, beam, corner, shape, self.place)
        angles -= angles.min()
        bins = np.floor(angles * self.n_bins / (angles + 1e-10).max()).astype(np.uint16)
        return Rings(bins, self.n_bins)
