"""How far spots are from points of a lattice in the units in which they were measured: pixels and images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spindle.geometry import rotate_about
from spindle.models import Experiment, Experiments
from spindle.table import ReflectionTable, rows_by_value

#: What stands for an image of a still: a turn by this angle about the axis that brings a point through the sphere fastest.
STILL_TURN = np.radians(1.0)
#: Spots whose axes are worked out at a time.
ROWS = 2**16


@dataclass(frozen=True)
class SpotFrames:
    """Spots in reciprocal space with their local axes.

    Attributes
    ----------
    rlp : (n, 3) float64, 1/angstrom
    to_pixels : (n, 3, 3) float64
        Takes a small step in reciprocal space (1/angstrom) to pixels along fast and slow, and images.
    cell : (n,) float64, 1/angstrom^3
        Volume of reciprocal space that a pixel of one image sweeps at each spot.
    """

    rlp: np.ndarray
    to_pixels: np.ndarray
    cell: np.ndarray

    def __len__(self) -> int:
        return len(self.rlp)

    def select(self, rows: np.ndarray) -> SpotFrames:
        """Some of the spots."""
        return SpotFrames(
            np.ascontiguousarray(self.rlp[rows]), np.ascontiguousarray(self.to_pixels[rows]), self.cell[rows]
        )

    @property
    def typical_error(self) -> float:
        """About how well a spot is known, 1/angstrom: a third of a pixel and of an image."""
        return 0.3 * float(np.cbrt(np.median(self.cell))) if len(self) else 1e-3


def spot_frames(sweeps: Experiments, table: ReflectionTable) -> SpotFrames:
    """Local axes of prepared spots.

    Parameters
    ----------
    sweeps : Experiments
    table : ReflectionTable
        Columns imageset_id, panel, s1, rlp and xyzobs.mm.value.

    Notes
    -----
    With the ray s1 = x / (wavelength |x|) through the place x on the detector, a step along the fast axis f changes it by
    (f - (f . u) u) / (wavelength |x|), u = x / |x|; turning the crystal by dphi about the axis m changes a point r by -m x r dphi.
    """
    n = len(table)
    inverse, cell = np.zeros((n, 3, 3)), np.full(n, np.inf)
    for number, every in rows_by_value(table["imageset_id"]).items():
        if not 0 <= number < len(sweeps):
            continue
        for rows in np.split(every, range(ROWS, len(every), ROWS)):
            steps = _steps(sweeps[number], table, rows)  # columns: 1/angstrom per pixel, pixel, image
            volume = np.abs(np.linalg.det(steps))
            good = volume > 1e-30
            # On the rotation axis a spot never passes through the sphere: it says nothing.
            inverse[rows[good]], cell[rows[good]] = np.linalg.inv(steps[good]), volume[good]
    return SpotFrames(np.array(table["rlp"], dtype=np.float64, order="C"), inverse, cell)


def _steps(sweep: Experiment, table: ReflectionTable, rows: np.ndarray) -> np.ndarray:
    panel = table["panel"][rows].astype(np.int64)
    lab = sweep.detector.lab_coordinate(panel, table["xyzobs.mm.value"][rows, :2])
    length = np.linalg.norm(lab, axis=1)[:, None]
    unit = lab / length
    fast, slow = (np.array([getattr(p, axis) for p in sweep.detector])[panel] for axis in ("fast_axis", "slow_axis"))
    size = np.array([p.pixel_size for p in sweep.detector])[panel]
    across = [
        (axis - np.sum(axis * unit, axis=1)[:, None] * unit) * size[:, i : i + 1] / (length * sweep.beam.wavelength)
        for i, axis in enumerate((fast, slow))
    ]
    goniometer, scan = sweep.goniometer, sweep.scan
    if sweep.is_still or goniometer is None or scan is None:
        r = table["rlp"][rows]
        through = unit * np.linalg.norm(r, axis=1)[:, None] * STILL_TURN
        back = np.eye(3) if goniometer is None else goniometer.setting_rotation @ goniometer.fixed_rotation
        return np.stack([v @ back for v in (*across, through)], axis=2)
    phi = np.ascontiguousarray(table["xyzobs.mm.value"][rows, 2])
    turned = [
        rotate_about(np.ascontiguousarray(v @ goniometer.setting_rotation), goniometer.rotation_axis, -phi)
        for v in across
    ]
    datum = table["rlp"][rows] @ goniometer.fixed_rotation.T
    turned.append(-np.cross(goniometer.rotation_axis, datum) * scan.oscillation[1])
    return np.stack([v @ goniometer.fixed_rotation for v in turned], axis=2)
