"""Spots of one sweep with the lattice vectors that were found for them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from spindle.geometry import rotate_about
from spindle.models import Experiment
from spindle.table import ReflectionTable

from .kernels import fourier_sums, normal_equations

#: Shifts per call of the kernel: enough for vector instructions, few enough to stay in the fastest memory.
BLOCK = 64


@dataclass(slots=True)
class LatticeSpots:
    """Spots that should belong to one lattice.

    Attributes
    ----------
    lab : (n, 3) float64, mm
        Their places in the laboratory with the detector as it is in the models.
    back : (n, 3, 3) float64, 1/angstrom
        Takes a scattering vector, in units of 1 / wavelength, to the reciprocal lattice point.
    s0 : (3,) float64
        Unit vector along the beam.
    vectors : (m, 3) float64, angstrom
    """

    lab: np.ndarray
    back: np.ndarray
    s0: np.ndarray
    vectors: np.ndarray
    _turned: np.ndarray | None = field(default=None, init=False, repr=False)

    @classmethod
    def of(cls, sweep: Experiment, spots: ReflectionTable, vectors: np.ndarray) -> LatticeSpots:
        """Prepare the spots of a sweep or still."""
        n, beam, goniometer = len(spots), sweep.beam, sweep.goniometer
        lab = sweep.detector.lab_coordinate(spots["panel"].astype(np.int64), spots["xyzobs.mm.value"][:, :2])
        back = np.empty((n, 3, 3))
        for c, axis in enumerate(np.eye(3)):
            q = axis
            if goniometer is not None:
                q = axis @ goniometer.setting_rotation
            many = np.ascontiguousarray(np.broadcast_to(q, (n, 3)))
            if goniometer is not None and not sweep.is_still:
                many = rotate_about(many, goniometer.rotation_axis, -spots["xyzobs.mm.value"][:, 2])
            back[:, :, c] = many if goniometer is None else many @ goniometer.fixed_rotation
        s0 = np.asarray(beam.s0) * beam.wavelength
        return cls(np.ascontiguousarray(lab), back / beam.wavelength, s0, np.ascontiguousarray(vectors))

    def __len__(self) -> int:
        return len(self.lab)

    def rows(self, chosen: np.ndarray) -> LatticeSpots:
        """Some of the spots, by row numbers or a mask."""
        return LatticeSpots(self.lab[chosen], self.back[chosen], self.s0, self.vectors)

    def with_vectors(self, vectors: np.ndarray) -> LatticeSpots:
        """The same spots with other vectors."""
        return LatticeSpots(self.lab, self.back, self.s0, np.ascontiguousarray(vectors))

    def points(self, shift: np.ndarray) -> np.ndarray:
        """Reciprocal lattice points (n, 3), 1/angstrom, with the detector shifted by `shift` (3,) mm."""
        moved = self.lab + shift
        q = moved / np.linalg.norm(moved, axis=1)[:, None] - self.s0
        return np.asarray((self.back @ q[:, :, None])[:, :, 0])

    def sums(self, shifts: np.ndarray) -> np.ndarray:
        """Fourier sums (m, k) complex, divided by the number of spots, for shifts (k, 3) mm."""
        turned = self._turned
        if turned is None:
            turned = self._turned = np.ascontiguousarray(self.vectors @ self.back)
        shape = (len(self.vectors), len(shifts))
        real, imaginary = np.empty(shape), np.empty(shape)
        for first in range(0, len(shifts), BLOCK):
            block = np.ascontiguousarray(shifts[first : first + BLOCK])
            re, im = np.empty((shape[0], len(block))), np.empty((shape[0], len(block)))
            fourier_sums(self.lab, turned, self.s0, block, re, im)
            real[:, first : first + BLOCK], imaginary[:, first : first + BLOCK] = re, im
        return (real + 1j * imaginary) / len(self)

    def adapted(self, shift: np.ndarray) -> LatticeSpots:
        """The vectors as they would have been found with the detector shifted by `shift` (3,) mm.

        A shift moves the points of one orientation together, and stretches their pattern a little. The stretch, by
        linear regression of the movement on the points, is given to the vectors; the common movement is what the phases
        tell. This makes shifts of several spot distances comparable.
        """
        points = self.points(np.zeros(3))
        moved = self.points(shift) - points
        design = np.column_stack([np.ones(len(points)), points])
        stretch = np.linalg.lstsq(design, moved, rcond=1e-3)[0][1:]
        return self.with_vectors(self.vectors - self.vectors @ stretch.T)

    def equations(
        self, shift: np.ndarray, axes: np.ndarray, cutoff: float
    ) -> tuple[np.ndarray, np.ndarray, float, float]:
        """Normal matrix, right-hand side, sum of squares and number of residuals; see `kernels.normal_equations`."""
        size = 2 + 3 * len(self.vectors)
        normal, right, misfit = np.empty((size, size)), np.empty(size), np.empty(2)
        normal_equations(
            self.lab, self.back, self.s0, self.vectors, np.ascontiguousarray(shift), axes, cutoff, normal, right, misfit
        )
        return normal, right, float(misfit[0]), float(misfit[1])

    def on_lattice(self, shift: np.ndarray, tolerance: float) -> float:
        """Fraction of the spots within `tolerance` turns of whole turns for the three shortest independent vectors."""
        p = self.points(shift) @ independent(self.vectors).T
        return float(np.mean(np.all(np.abs(p - np.rint(p)) < tolerance, axis=1)))


def independent(vectors: np.ndarray) -> np.ndarray:
    """The shortest three vectors (3, 3) that are not in one plane, or fewer where there are none."""
    kept: list[np.ndarray] = []
    for v in vectors[np.argsort(np.linalg.norm(vectors, axis=1))]:
        trial = np.array([*kept, v]) / np.linalg.norm([*kept, v], axis=1)[:, None]
        if np.linalg.svd(trial, compute_uv=False).min() > 0.1:
            kept.append(v)
        if len(kept) == 3:
            break
    return np.array(kept)
