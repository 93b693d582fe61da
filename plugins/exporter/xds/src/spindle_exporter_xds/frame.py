"""Experiments in the frame in which XDS is told of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spindle.models import Detector, Experiment

__all__ = ["Segment", "XdsFrame", "offsets_of", "reason_against_segments"]


@dataclass(frozen=True, slots=True)
class Segment:
    """A panel in the frame of the detector.

    Attributes
    ----------
    limits : (int, int, int, int)
        First and last pixel of the image along x and y, counted from 1.
    origin_px : (2,) float64
        Pixel on the origin of the detector's frame, pixel centres at whole numbers from 1.
    distance : float, mm
    x, y : (3,) float64
    """

    limits: tuple[int, int, int, int]
    origin_px: np.ndarray
    distance: float
    x: np.ndarray
    y: np.ndarray


class XdsFrame:
    """An experiment in the frame of its first panel: fast axis +x, slow axis +y.

    Attributes
    ----------
    turn : (3, 3) float64
        From the laboratory to this frame.
    axis, s0 : (3,) float64
    real_space : (3, 3) float64, angstrom, or None
        Rows a, b, c at rotation angle 0.
    origin_px : (2,) float64
        Foot of the normal from the sample, pixels from the outer corner of the first pixel of the image.
    distance : float, mm
        Signed: negative when the normal fast x slow points back to the sample.
    size : (int, int)
        Pixels of the image.
    segments : list of Segment
        One for each panel.
    """

    def __init__(self, experiment: Experiment) -> None:
        panel, goniometer = experiment.detector[0], experiment.goniometer
        self.turn = np.stack([panel.fast_axis, panel.slow_axis, panel.normal])
        axis = goniometer.axis_lab if goniometer is not None else np.array([1.0, 0.0, 0.0])
        self.axis = self.turn @ axis
        self.s0 = self.turn @ experiment.beam.s0
        self.real_space = None
        if experiment.crystal is not None:
            A = experiment.crystal.A
            if goniometer is not None:
                A = goniometer.setting_rotation @ goniometer.fixed_rotation @ A
            self.real_space = np.linalg.inv(self.turn @ A)
        origin = self.turn @ panel.origin
        self.origin_px = offsets_of(experiment.detector)[0] - origin[:2] / panel.pixel_size
        self.distance = float(origin[2])
        self.segments = self._segments(experiment.detector)
        self.size = tuple(int(max(s.limits[i] for s in self.segments)) for i in (1, 3))

    def _segments(self, detector: Detector) -> list[Segment]:
        pixel = detector[0].pixel_size
        zero = np.append(-(self.origin_px + 0.5) * pixel, self.distance)
        found = []
        for panel, offset in zip(detector, offsets_of(detector), strict=True):
            x, y, normal = (self.turn @ v for v in (panel.fast_axis, panel.slow_axis, panel.normal))
            away = self.turn @ panel.origin - zero
            (dx, dy), (nx, ny) = (int(v) for v in offset), panel.image_size
            origin = offset + 0.5 - np.array([away @ x, away @ y]) / pixel
            found.append(Segment((dx + 1, dx + nx, dy + 1, dy + ny), origin, float(away @ normal), x, y))
        return found


def offsets_of(detector: Detector) -> np.ndarray:
    """(n, 2) float64: pixels of the image before each panel; a panel alone is the image."""
    if len(detector) == 1:
        return np.zeros((1, 2))
    return np.array([p.raw_image_offset for p in detector], dtype=np.float64)


def reason_against_segments(detector: Detector) -> str:
    """Why XDS cannot be told of the panels of a detector; empty where it can."""
    if len(detector) == 1:
        return ""
    if any(not np.allclose(p.pixel_size, detector[0].pixel_size, rtol=1e-6) for p in detector):
        return "pixels of different sizes, and XDS knows one size"
    low = offsets_of(detector)
    high = low + np.array([p.image_size for p in detector])
    for i in range(len(detector) - 1):
        overlap = np.all((low[i] < high[i + 1 :]) & (low[i + 1 :] < high[i]), axis=1)
        if overlap.any():
            return f"panels {i} and {i + 1 + int(np.argmax(overlap))} at the same place of the image (raw_image_offset), so that XDS could not tell them apart"
    return ""
