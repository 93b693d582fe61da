"""Settings of refinement for tests of refiners, and crystals that drift during a scan."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from scipy.stats import norm

from spindle.contracts.refiner import RefinementResult
from spindle.models import Crystal, Experiment, Scan
from spindle.params import build
from spindle.table import ReflectionTable
from spindle.testing.refiner import spots_of
from spindle_lib_smoothing.smoother import Spline, n_samples

from .params import RefinementParams

__all__ = ["DriftingCrystal", "plain_settings", "pulls_of_orientation", "pulls_of_volume", "turns_of_orientation"]


#: Images beyond the ends of a scan whose spots reach into it.
BEYOND = 5


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
        out = self._passages(experiment, d_min, 0)
        errors = np.random.default_rng(seed).normal(size=(len(out), 3)) * noise
        out["xyzobs.px.value"] = out["xyzobs.px.value"] + errors
        out["xyzobs.px.variance"] = np.tile(np.asarray(noise) ** 2, (len(out), 1))
        return out

    def recorded(
        self, experiment: Experiment, d_min: float, mosaicity_deg: float, photons: float, seed: int
    ) -> ReflectionTable:
        """The same as images record them.

        Parameters
        ----------
        experiment : Experiment
        d_min : float, angstrom
        mosaicity_deg : float
            Standard deviation of rocking curves where zeta is 1.
        photons : float
            Mean of a full reflection; intensities are exponentially distributed.
        seed : int

        Returns
        -------
        ReflectionTable
            Spots of the images next to one another with at least 4 photons, with ``bbox``. What lies beyond the ends of the scan is not recorded.
        """
        rng = np.random.default_rng(seed)
        out = self._passages(experiment, d_min, BEYOND)
        xyz, n = out["xyzobs.px.value"], self.n_images
        s1 = experiment.detector.lab_coordinate(out["panel"], experiment.detector.pixel_to_mm(out["panel"], xyz[:, :2]))
        e1 = np.cross(s1, experiment.beam.s0)
        zeta = np.abs(e1[:, 0]) / np.linalg.norm(e1, axis=1)  # about x
        width = mosaicity_deg / (np.maximum(zeta, 1e-3) * experiment.known_scan.oscillation_deg[1])
        edges = norm.cdf((np.arange(n + 1.0) - xyz[:, 2:]) / width[:, None])
        counts = rng.poisson(rng.exponential(photons, (len(out), 1)) * np.diff(edges, axis=1))
        is_seen, best, images = counts >= 4, counts.argmax(axis=1)[:, None], np.arange(n)
        # The stretch about the strongest image without one that is too weak.
        first = np.where(~is_seen & (images < best), images, -1).max(axis=1) + 1
        last = np.where(~is_seen & (images > best), images, n).min(axis=1)
        counts *= (images >= first[:, None]) & (images < last[:, None])
        total = np.maximum(counts.sum(axis=1), 1)
        spread = np.column_stack([0.7 / np.sqrt(total)] * 2)
        z = (counts * (images + 0.5)).sum(axis=1) / total
        out["xyzobs.px.value"] = np.column_stack([xyz[:, :2] + rng.normal(size=spread.shape) * spread, z])
        out["xyzobs.px.variance"] = np.column_stack([spread**2, 1 / 12 + width**2 / total])
        box = np.zeros((len(out), 6), dtype=np.int32)
        box[:, :4] = (np.round(xyz[:, [0, 0, 1, 1]]) + [-2, 3, -2, 3]).astype(np.int32)
        box[:, 4], box[:, 5] = first, last
        out["bbox"] = box
        return out.select(is_seen.any(axis=1) & (zeta > 0.05))

    def _passages(self, experiment: Experiment, d_min: float, beyond: int) -> ReflectionTable:
        """Where and when indices meet the sphere, up to some images beyond the ends."""
        scan, s0, detector = experiment.known_scan, experiment.beam.s0, experiment.detector
        start, width = scan.oscillation_deg
        wider = Scan((1, self.n_images + 2 * beyond), (start - beyond * width, width))
        table = spots_of(replace(experiment, scan=wider), d_min)
        hkl, z = table["miller_index"].astype(float), table["xyzobs.px.value"][:, 2] - beyond

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
        return out.select((z > -beyond) & (z < self.n_images + beyond) & (xy > 0).all(axis=1))


def turns_of_orientation(result: RefinementResult, drift: DriftingCrystal) -> np.ndarray:
    """(n, 3), degrees: by how much the orientation of the only crystal is off at each scan point, about the laboratory axes."""
    found = result.experiments[0].crystal
    assert found is not None and found.A_at_scan_points is not None
    true = _each(drift.settings(np.arange(drift.n_images + 1.0)), "U")
    R = _each(found.A_at_scan_points, "U") @ true.transpose(0, 2, 1)
    turns = 0.5 * np.stack([R[:, 2, 1] - R[:, 1, 2], R[:, 0, 2] - R[:, 2, 0], R[:, 1, 0] - R[:, 0, 1]], axis=1)
    return np.asarray(np.degrees(turns))


def pulls_of_orientation(result: RefinementResult, drift: DriftingCrystal) -> np.ndarray:
    """(n, 3): by how many standard uncertainties the orientation of the only crystal is off at each scan point, about the laboratory axes."""
    z = np.arange(drift.n_images + 1.0)
    turns = 1e3 * np.radians(turns_of_orientation(result, drift))
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
