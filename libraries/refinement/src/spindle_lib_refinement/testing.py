"""Settings of refinement for tests of refiners, and crystals that drift during a scan."""

from __future__ import annotations

from typing import Any

import numpy as np

from spindle.contracts.refiner import RefinementResult
from spindle.models import Crystal, Experiment
from spindle.params import build
from spindle.table import ReflectionTable
from spindle.testing.refiner import spots_of
from spindle_lib_smoothing.smoother import Spline, n_samples

from .params import RefinementParams

__all__ = ["DriftingCrystal", "plain_settings", "pulls_of_orientation", "pulls_of_volume"]


def plain_settings(**changes: Any) -> Any:
    """The scope ``refinement`` without outlier rejection; changes by dotted name with double underscores for dots."""
    return build(RefinementParams).changed(**{"reflections__outlier__algorithm": None, **changes})


class DriftingCrystal:
    """A crystal that swings about three axes while its edges grow.

    Parameters
    ----------
    crystal : Crystal
        As it is at rest.
    seed : int
        Of the phases and the numbers of waves (0.5 to 1.5 during the scan, two for each axis).
    swing_deg : float
        Amplitude of the waves.
    growth : float
        By which part of themselves the edges grow during the scan.
    n_images : int
        Images of the scan, about the x axis.
    """

    def __init__(self, crystal: Crystal, seed: int, swing_deg: float, growth: float, n_images: int) -> None:
        rng = np.random.default_rng(seed)
        self.crystal, self.growth, self.n_images = crystal, growth, n_images
        self.phases, self.waves = rng.random((2, 3)), rng.uniform(0.5, 1.5, (2, 3))
        self.swing = np.radians(swing_deg) / np.sqrt(3)

    def settings(self, z: np.ndarray) -> np.ndarray:
        """(n, 3, 3): setting matrices at array indices z (n,)."""
        t = np.asarray(z) / self.n_images
        w = self.swing * np.sin(2 * np.pi * (self.waves * t[:, None, None] + self.phases)).sum(axis=1)
        angle = np.linalg.norm(w, axis=1)[:, None, None]
        K = np.zeros((len(t), 3, 3))
        K[:, [2, 0, 1], [1, 2, 0]], K[:, [1, 2, 0], [2, 0, 1]] = w, -w
        half = np.sinc(angle / (2 * np.pi))
        turns = np.eye(3) + np.sinc(angle / np.pi) * K + 0.5 * half**2 * K @ K
        return np.asarray(turns @ self.crystal.A / (1 + self.growth * t)[:, None, None])

    def spots(self, experiment: Experiment, d_min: float, noise: np.ndarray, seed: int) -> ReflectionTable:
        """Indexed spots where each index meets the sphere with the setting of that moment, with normal errors (pixels, pixels, images)."""
        table = spots_of(experiment, d_min)
        hkl, z = table["miller_index"].astype(float), table["xyzobs.px.value"][:, 2].copy()
        scan, s0, detector = experiment.known_scan, experiment.beam.s0, experiment.detector

        def rays(z: np.ndarray) -> np.ndarray:
            phi, h = scan.angle_from_array_index(z), np.einsum("nij,nj->ni", self.settings(z), hkl)
            c, s = np.cos(phi), np.sin(phi)  # about x
            return s0 + np.stack([h[:, 0], c * h[:, 1] - s * h[:, 2], s * h[:, 1] + c * h[:, 2]], axis=1)

        def off(z: np.ndarray) -> np.ndarray:
            return np.asarray((rays(z) ** 2).sum(axis=1) - s0 @ s0)

        for _ in range(6):
            z -= off(z) / ((off(z + 1e-3) - off(z - 1e-3)) / 2e-3)
        v = rays(z) @ detector.D[0].T
        xy = v[:, :2] / v[:, 2:]
        out = table.view()
        out["xyzobs.px.value"] = np.column_stack([detector.mm_to_pixel(table["panel"], xy), z])
        out = out.select((z > 0) & (z < self.n_images) & (xy > 0).all(axis=1))
        errors = np.random.default_rng(seed).normal(size=(len(out), 3)) * noise
        out["xyzobs.px.value"] = out["xyzobs.px.value"] + errors
        out["xyzobs.px.variance"] = np.tile(np.asarray(noise) ** 2, (len(out), 1))
        return out


def pulls_of_orientation(result: RefinementResult, drift: DriftingCrystal) -> np.ndarray:
    """(n, 3): by how many standard uncertainties the orientation of the only crystal is off at each scan point, about the laboratory axes."""
    z = np.arange(drift.n_images + 1.0)
    found = result.experiments[0].crystal
    assert found is not None and found.A_at_scan_points is not None
    R = _each(found.A_at_scan_points, "U") @ _each(drift.settings(z), "U").transpose(0, 2, 1)
    turns = 500 * np.stack([R[:, 2, 1] - R[:, 1, 2], R[:, 0, 2] - R[:, 2, 0], R[:, 1, 0] - R[:, 0, 1]], axis=1)
    sd = []
    for k in (1, 2, 3):
        rows = [i for i, name in enumerate(result.parameter_names) if name.startswith(f"Crystal1Phi{k}_")]
        intervals = next(n for n in range(1, 1000) if n_samples(n) == len(rows))
        index, weight = Spline(0.0, drift.n_images, intervals).weights(z)
        J = np.zeros((len(z), len(rows)))
        np.put_along_axis(J, index, weight, axis=1)
        sd.append(np.sqrt(np.einsum("za,ab,zb->z", J, result.covariance[np.ix_(rows, rows)], J)))
    return np.asarray(turns / np.stack(sd, axis=1))


def pulls_of_volume(result: RefinementResult, drift: DriftingCrystal) -> np.ndarray:
    """(n,): the same of the volume of the cell; refined with ``set_scan_varying_errors``."""
    z = np.arange(drift.n_images + 1.0)
    found = result.experiments[0].crystal
    assert found is not None and found.A_at_scan_points is not None
    A = found.A_at_scan_points
    # d ln V = -trace(inverse(B) dB)
    off = np.log(np.abs(np.linalg.det(drift.settings(z)) / np.linalg.det(A)))
    covariance = found.extra.get("B_covariance_at_scan_points", [found.extra["B_covariance"]] * len(z))
    slope = np.linalg.inv(_each(A, "B")).transpose(0, 2, 1).reshape(-1, 9)
    return np.asarray(off / np.sqrt(np.einsum("zi,zij,zj->z", slope, np.array(covariance).reshape(-1, 9, 9), slope)))


def _each(A: np.ndarray, name: str) -> np.ndarray:
    """(n, 3, 3): the matrices U or B of settings."""
    return np.array([getattr(Crystal(A=a), name) for a in A])
