"""Axes across the beam and their azimuths."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from spindle.geometry import rotation_matrix
from spindle.models import Goniometer

__all__ = ["Plane", "turned"]


@dataclass(frozen=True, slots=True)
class Plane:
    """The plane across the beam.

    Attributes
    ----------
    first, second : (3,) float64
        Unit vectors; x and y of the laboratory where the beam runs along -z. An azimuth is counted from the first away from
        the second.
    beam : (3,) float64
        Unit vector from the source to the sample.
    """

    first: np.ndarray
    second: np.ndarray
    beam: np.ndarray

    @classmethod
    def across(cls, s0: np.ndarray) -> Plane:
        """The plane across a beam s0 (3,)."""
        beam = s0 / np.linalg.norm(s0)
        start = np.array([1.0, 0.0, 0.0]) if abs(beam[0]) < 0.9 else np.array([0.0, 1.0, 0.0])
        first = start - (start @ beam) * beam
        first /= np.linalg.norm(first)
        return cls(first, np.cross(first, beam), beam)

    def axis(self, azimuth_deg: float) -> np.ndarray:
        """(3,) unit vector of an azimuth."""
        angle = np.radians(azimuth_deg)
        return np.asarray(np.cos(angle) * self.first - np.sin(angle) * self.second)

    def azimuth_deg(self, axis: np.ndarray) -> float:
        """Azimuth of the part of an axis (3,) across the beam, in (-180, 180]."""
        return float(np.degrees(np.arctan2(-(axis @ self.second), axis @ self.first)))


def turned(goniometer: Goniometer, plane: Plane, azimuth_deg: float) -> Goniometer:
    """The goniometer turned about the beam until its scan axis has an azimuth, and then into the plane across the beam.

    All axes of a goniometer that has several are turned.
    """
    axis, wanted = goniometer.axis_lab, plane.axis(azimuth_deg)
    about_beam = rotation_matrix(plane.beam, np.radians(azimuth_deg - plane.azimuth_deg(axis)))
    turn = _shortest(about_beam @ axis, wanted) @ about_beam
    if goniometer.axes is None:
        setting = goniometer.setting_rotation
        return replace(goniometer, rotation_axis=setting.T @ wanted, setting_rotation_at_scan_points=None)
    assert goniometer.angles_deg is not None and goniometer.names is not None and goniometer.scan_axis is not None
    axes = np.asarray(goniometer.axes) @ turn.T
    return Goniometer.multi_axis(axes, goniometer.angles_deg, goniometer.names, goniometer.scan_axis, goniometer.extra)


def _shortest(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """(3, 3) rotation by the shortest way from one unit vector to another."""
    about = np.cross(start, end)
    sine = float(np.linalg.norm(about))
    return np.eye(3) if sine < 1e-12 else rotation_matrix(about / sine, float(np.arctan2(sine, start @ end)))
