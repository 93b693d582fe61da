"""The goniometer: R(phi) = S R(e, phi) F."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from spindle.errors import ModelError
from spindle.geometry.rotations import rotation_matrix

from .arrays import fixed_array, fixed_rotation_matrix, unit_vector, whole_number
from .descriptions import Described, numbers


@dataclass(frozen=True, eq=False)
class Goniometer(Described):
    """Single- or multi-axis goniometer.

    Attributes
    ----------
    rotation_axis : (3,) float64
        Datum axis e of the scan, before the setting rotation.
    fixed_rotation, setting_rotation : (3, 3) float64
        F (applied to the crystal first) and S (applied last).
    axes : (n, 3) float64 or None
        All axes of a multi-axis goniometer, from crystal to base.
    angles_deg : (n,) float64 or None
        Their datum angles; that of the scan axis is not used.
    names : tuple of str or None
    scan_axis : int or None
        Which of `axes` is the scan axis.
    setting_rotation_at_scan_points : (n_images + 1, 3, 3) float64 or None
    extra : dict
    """

    rotation_axis: np.ndarray
    fixed_rotation: np.ndarray = field(default_factory=lambda: np.eye(3))
    setting_rotation: np.ndarray = field(default_factory=lambda: np.eye(3))
    axes: np.ndarray | None = None
    angles_deg: np.ndarray | None = None
    names: tuple[str, ...] | None = None
    scan_axis: int | None = None
    setting_rotation_at_scan_points: np.ndarray | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rotation_axis", unit_vector(self.rotation_axis, "rotation_axis"))
        object.__setattr__(self, "fixed_rotation", fixed_rotation_matrix(self.fixed_rotation, "fixed_rotation"))
        object.__setattr__(self, "setting_rotation", fixed_rotation_matrix(self.setting_rotation, "setting_rotation"))
        if self.axes is not None:
            object.__setattr__(self, "axes", fixed_array(self.axes, (-1, 3), "goniometer axes"))
            object.__setattr__(self, "angles_deg", fixed_array(self.angles_deg, (-1,), "goniometer angles"))
        if self.setting_rotation_at_scan_points is not None:
            points = fixed_rotation_matrix(
                self.setting_rotation_at_scan_points, "setting_rotation_at_scan_points", (-1, 3, 3)
            )
            object.__setattr__(self, "setting_rotation_at_scan_points", points)

    def described(self) -> tuple[str, list[tuple[str, str]]]:
        """Axes and angles; see `Described`."""
        rows = [("rotation axis", numbers(self.rotation_axis))]
        if self.axes is not None and self.angles_deg is not None:
            names = self.names or tuple(f"axis {i}" for i in range(len(self.axes)))
            for i, (name, axis, angle) in enumerate(zip(names, self.axes, self.angles_deg, strict=False)):
                turned = "turned by the scan" if i == self.scan_axis else f"at {angle:g} deg"
                rows.append((name, f"{numbers(axis)}, {turned}"))
        return "Goniometer", rows

    @classmethod
    def multi_axis(
        cls, axes: Any, angles_deg: Any, names: Any, scan_axis: int, extra: dict[str, Any] | None = None
    ) -> Goniometer:
        """Goniometer from all its axes, ordered from crystal to base, at datum angles in degrees.

        Raises
        ------
        ModelError
            If the numbers of axes, angles and names differ or `scan_axis` is none of them.
        """
        axes = fixed_array(axes, (-1, 3), "goniometer axes")
        angles = fixed_array(angles_deg, (-1,), "goniometer angles")
        scan_axis = whole_number(scan_axis, "the goniometer's scan_axis")
        if not len(axes) == len(angles) == len(names) or not 0 <= scan_axis < len(axes):
            raise ModelError(
                f"goniometer: {len(axes)} axes, {len(angles)} angles, {len(names)} names, scan axis {scan_axis}: "
                "give as many angles and names as axes and the number of one of them, counted from 0 at the crystal"
            )
        if not all(isinstance(name, str) for name in names):
            raise ModelError(f"goniometer: names {list(names)!r:.100}: the name of an axis is a text")
        fixed = np.eye(3)
        for i in range(scan_axis):
            fixed = rotation_matrix(unit_vector(axes[i], "goniometer axis"), np.deg2rad(angles[i])) @ fixed
        setting = np.eye(3)
        for i in range(scan_axis + 1, len(axes)):
            setting = rotation_matrix(unit_vector(axes[i], "goniometer axis"), np.deg2rad(angles[i])) @ setting
        return cls(
            rotation_axis=axes[scan_axis], fixed_rotation=fixed, setting_rotation=setting, axes=axes, angles_deg=angles,
            names=tuple(names), scan_axis=int(scan_axis), extra=extra or {},
        )  # fmt: skip

    @property
    def axis_lab(self) -> np.ndarray:
        """(3,) float64: the rotation axis in the laboratory frame, S e."""
        return np.asarray(self.setting_rotation @ self.rotation_axis)

    def rotation(self, phi: float) -> np.ndarray:
        """(3, 3) float64: S R(e, phi) F for an angle in radians."""
        return np.asarray(self.setting_rotation @ rotation_matrix(self.rotation_axis, phi) @ self.fixed_rotation)
