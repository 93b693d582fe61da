"""One flat frame for the positions on a detector of several panels, for formats that know one panel only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from spindle.models import Detector, Panel

# Beyond 80 degrees from its normal a plane is five times further away than its distance and soon infinitely.
LARGEST_TILT_DEG = 80.0


@dataclass(frozen=True)
class FlatDetector:
    """A detector seen as one rectangle of pixels.

    Attributes
    ----------
    detector : Detector
    panel : Panel
        The rectangle. Its axes, plane and pixels are those of the panel that the beam hits (or that is nearest to the
        beam); its corner and size take in all panels. A detector of one panel is its own rectangle.
    from_panel : int
        The panel whose plane it is.
    unrolled : bool
        False: a pixel is put where the straight line through it and the sample meets the plane; tiles of one plane
        keep their places. True, for a detector that reaches more than 80 degrees away from the normal of that plane,
        such as a half cylinder: at the same azimuth about the normal, at distance x angle from its foot.
    """

    detector: Detector
    panel: Panel
    from_panel: int
    unrolled: bool

    def positions(self, panel: np.ndarray, xy: np.ndarray) -> np.ndarray:
        """Positions on the rectangle, (n, 2) float64, pixels from its corner.

        Parameters
        ----------
        panel : (n,) int
        xy : (n, 2) float64, pixels
            On each panel, as images show them: parallax stays in.
        """
        xy = np.asarray(xy, dtype=np.float64)
        if len(self.detector) == 1:
            return xy
        size = np.array([p.pixel_size for p in self.detector])[np.asarray(panel, dtype=np.int64)]
        return _on_plane(self.panel, self.unrolled, self.detector.lab_coordinate(panel, xy * size))


def flat_detector(detector: Detector, s0: np.ndarray) -> FlatDetector:
    """The rectangle for a detector and a beam.

    Parameters
    ----------
    detector : Detector
    s0 : (3,) float64, 1/angstrom
        Incident beam; it decides which panel's plane is taken.
    """
    if len(detector) == 1:
        return FlatDetector(detector, detector[0], 0, False)
    hit = detector.beam_centre(s0)
    which = hit[0] if hit is not None else _nearest(detector, s0)
    reference = detector[which]
    edge = np.concatenate([_outline(detector, i) for i in range(len(detector))])
    away = reference.normal * np.sign(reference.directed_distance or 1.0)
    cosines = edge @ away / np.linalg.norm(edge, axis=1)
    unrolled = bool(cosines.min() < np.cos(np.deg2rad(LARGEST_TILT_DEG)))
    places = _on_plane(reference, unrolled, edge)
    low, high = np.floor(places.min(axis=0) + 1e-6), np.ceil(places.max(axis=0) - 1e-6)
    shift = low * reference.pixel_size
    origin = reference.origin + shift[0] * reference.fast_axis + shift[1] * reference.slow_axis
    columns, rows = (int(v) for v in high - low)
    panel = replace(
        reference, origin=origin, image_size=(columns, rows), name="flat", mask=(), raw_image_offset=(0, 0),
        distortion=None,
    )  # fmt: skip
    return FlatDetector(detector, panel, which, unrolled)


def _nearest(detector: Detector, s0: np.ndarray) -> int:
    """The panel whose centre is nearest to the direction of the beam."""
    centres = np.array([p.d @ [*(0.5 * p.size_mm), 1.0] for p in detector])
    return int(np.argmax(centres @ s0 / np.linalg.norm(centres, axis=1)))


def _outline(detector: Detector, panel: int) -> np.ndarray:
    """(40, 3) float64, mm: points along the edges of a panel, corners among them."""
    steps = np.linspace(0.0, 1.0, 11)[:-1]
    zero, one = np.zeros(10), np.ones(10)
    unit = np.stack(
        [np.concatenate([steps, one, 1 - steps, zero]), np.concatenate([zero, steps, one, 1 - steps])], axis=1
    )
    return detector.lab_coordinate(panel, unit * detector[panel].size_mm)


def _on_plane(panel: Panel, unrolled: bool, points: np.ndarray) -> np.ndarray:
    """(n, 2) float64, pixels of the panel: where laboratory points (n, 3) mm are put."""
    frame = np.stack([panel.fast_axis, panel.slow_axis, panel.normal])
    x, y, z = frame @ points.T
    distance = panel.directed_distance
    if unrolled:
        across = np.hypot(x, y)
        angle = np.arctan2(across, z * np.sign(distance or 1.0))
        factor = abs(distance) * angle / np.maximum(across, 1e-12)
    else:
        factor = distance / z
    origin = frame[:2] @ panel.origin
    places = np.stack([x * factor - origin[0], y * factor - origin[1]], axis=1)
    return np.asarray(places / panel.pixel_size)
