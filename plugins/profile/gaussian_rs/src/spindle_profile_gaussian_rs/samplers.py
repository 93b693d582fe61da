"""Where reference profiles stand: positions over the detector and along the scan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from spindle.models import Experiment

LOG2_4 = 4.0 * np.log(2.0)


@dataclass(frozen=True, slots=True)
class Sampler:
    """Positions of the reference profiles of one experiment.

    Attributes
    ----------
    method : "single", "regular_grid", "circular_grid" or "spherical_grid"
    image_size : (float, float)
        Pixels, fast and slow, of the panel; of "spherical_grid" the width of the map, radian.
    array_range : (int, int)
    n_z : int
        Blocks along the scan.
    axes : (3, 3) float64 or None
        Rows are two directions across the incident beam and its own, for "spherical_grid".
    """

    method: str
    image_size: tuple[float, float]
    array_range: tuple[int, int]
    n_z: int
    axes: np.ndarray | None = None

    def places(self, xyz: np.ndarray, s1: np.ndarray) -> np.ndarray:
        """(n, 3) float64: where spots are among the positions, from predicted positions (n, 3) and diffracted beams (n, 3).

        On the map of "spherical_grid" the distance from the middle is the diffraction angle, the direction that of the beam.
        """
        if self.axes is None:
            return xyz
        x, y, along = self.axes @ (s1 / np.linalg.norm(s1, axis=1)[:, None]).T
        scale = np.arctan2(np.hypot(x, y), along) / np.maximum(np.hypot(x, y), 1e-9)
        half = 0.5 * self.image_size[0]
        return np.column_stack([half + x * scale, half + y * scale, xyz[:, 2]])

    @property
    def per_block(self) -> int:
        """Positions in one block of the scan."""
        return 1 if self.method == "single" else 9

    def __len__(self) -> int:
        return self.per_block * self.n_z

    @property
    def step_z(self) -> float:
        """Images per block."""
        return (self.array_range[1] - self.array_range[0]) / self.n_z

    @property
    def positions(self) -> np.ndarray:
        """(m, 3) float64: centres (px, px, array index)."""
        w, h = self.image_size
        if self.method == "single":
            xy = np.array([[0.5 * w, 0.5 * h]])
        elif self.method == "regular_grid":
            y, x = np.mgrid[0:3, 0:3]
            xy = np.stack([(x.ravel() + 0.5) * w / 3.0, (y.ravel() + 0.5) * h / 3.0], axis=1)
        else:
            radius = 0.5 * min(w, h)
            ring = 0.5 * (radius / 3.0 + radius / 3.0 * np.sqrt(5.0))
            angle = np.arange(8) * np.pi / 4.0
            xy = np.concatenate([[[0.0, 0.0]], ring * np.stack([np.cos(angle), np.sin(angle)], axis=1)]) + [
                0.5 * w,
                0.5 * h,
            ]
        z = self.array_range[0] + (np.arange(self.n_z) + 0.5) * self.step_z
        return np.column_stack([np.tile(xy, (self.n_z, 1)), np.repeat(z, len(xy))])

    def nearest(self, xyz: np.ndarray) -> np.ndarray:
        """(n,) int64: the position in whose region each spot (n, 3) lies; spots outside take the region at the edge."""
        w, h = self.image_size
        block = np.clip(np.floor((xyz[:, 2] - self.array_range[0]) / self.step_z).astype(np.int64), 0, self.n_z - 1)
        if self.method == "single":
            return block
        if self.method == "regular_grid":
            i = np.clip(np.floor(3.0 * xyz[:, 0] / w).astype(np.int64), 0, 2)
            j = np.clip(np.floor(3.0 * xyz[:, 1] / h).astype(np.int64), 0, 2)
            return block * 9 + j * 3 + i
        dx, dy = xyz[:, 0] - 0.5 * w, xyz[:, 1] - 0.5 * h
        sector = np.floor(np.arctan2(dy, dx) / (np.pi / 4.0) + 0.5).astype(np.int64) % 8
        inner = np.hypot(dx, dy) < 0.5 * min(w, h) / 3.0
        return block * 9 + np.where(inner, 0, 1 + sector)

    def weights(self, xyz: np.ndarray, position: int) -> np.ndarray:
        """(n,) float64: how much spots (n, 3) count for a position: exp(-4 ln 2 d^2), d in units of the spacing; 0
        beyond neighbours.
        """
        centre = self.positions[position]
        w, h = self.image_size
        radius = min(w, h) / 3.0
        spacing = {
            "single": (np.inf, np.inf),
            "regular_grid": (w / 3.0, h / 3.0),
            "circular_grid": (radius, radius),
            "spherical_grid": (radius, radius),
        }[self.method]
        scaled = (xyz - centre) / np.array([*spacing, self.step_z])
        squared = np.einsum("ij,ij->i", scaled, scaled)
        near = np.all(np.abs(scaled) <= 1.5, axis=1)
        return np.where(near, np.exp(-LOG2_4 * squared), 0.0)


def make_sampler(method: str, experiment: Experiment, scan_step_deg: float) -> Sampler:
    """The sampler of an experiment; detectors of several panels have one position per block of the scan, or those on the sphere."""
    detector, scan = experiment.detector, experiment.known_scan
    first, last = scan.array_range
    width = scan.oscillation_deg[1] * (last - first)
    n_z = max(1, int(np.ceil(width / scan_step_deg - 1e-6)))
    n_z = min(n_z, last - first)
    if method == "spherical_grid":
        axes = _across(experiment.beam.s0)
        corners = [
            detector.lab_coordinate_of_pixel(
                k, np.array([[x, y] for x in (0, panel.image_size[0]) for y in (0, panel.image_size[1])])
            )
            for k, panel in enumerate(detector)
        ]
        across_x, across_y, along = axes @ np.concatenate(corners).T
        widest = 2.0 * float(np.arctan2(np.hypot(across_x, across_y), along).max())
        return Sampler(method, (widest, widest), (first, last), n_z, axes)
    if len(detector) > 1:
        method = "single"
    size = detector[0].image_size
    return Sampler(method, (float(size[0]), float(size[1])), (first, last), n_z)


def _across(s0: np.ndarray) -> np.ndarray:
    """(3, 3) float64: two directions across a beam, and its own."""
    along = s0 / np.linalg.norm(s0)
    x = np.eye(3)[int(np.argmin(np.abs(along)))]
    x = x - along * (x @ along)
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(along, x), along])
