"""A crystal that turns and grows during the scan: its states are found as exactly as their errors say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from spindle_program_refine.outputs import axis_text
from spindle_refiner_centroid import CentroidRefiner

from spindle.contracts.refiner import RefinementResult
from spindle.geometry import rotation_matrix
from spindle.models import Crystal, Experiment, Experiments
from spindle.models.crystal import cell_from_real_space
from spindle.table import ReflectionTable
from spindle.testing import make_context
from spindle.testing.refiner import disturbed, rotation_experiment, spots_of
from spindle_lib_refinement.testing import plain_settings
from spindle_lib_smoothing.smoother import Spline, n_samples

NOISE = np.array([0.1, 0.1, 0.08])
N_IMAGES = 90


class Drift:
    """Settings of a crystal that swings about three axes while its edges grow."""

    def __init__(self, crystal: Crystal, seed: int, swing_deg: float, growth: float) -> None:
        rng = np.random.default_rng(seed)
        self.crystal, self.growth = crystal, growth
        self.phases, self.waves = rng.random((2, 3)), rng.uniform(0.5, 1.5, (2, 3))
        self.swing = np.radians(swing_deg) / np.sqrt(3)

    def settings(self, z: np.ndarray) -> np.ndarray:
        """(n, 3, 3): setting matrices at array indices z (n,)."""
        t = np.asarray(z) / N_IMAGES
        w = self.swing * np.sin(2 * np.pi * (self.waves * t[:, None, None] + self.phases)).sum(axis=1)
        turns = np.zeros((len(t), 3, 3))
        turns[:, [2, 0, 1], [1, 2, 0]], turns[:, [1, 2, 0], [2, 0, 1]] = w, -w
        return (np.eye(3) + turns) @ self.crystal.A / (1 + self.growth * t)[:, None, None]

    def spots(self, experiment: Experiment, d_min: float) -> ReflectionTable:
        """Spots where each index meets the sphere with the setting of that moment."""
        table = spots_of(experiment, d_min)
        hkl, z = table["miller_index"].astype(float), table["xyzobs.px.value"][:, 2].copy()
        scan, s0, detector = experiment.known_scan, experiment.beam.s0, experiment.detector

        def rays(z: np.ndarray) -> np.ndarray:
            phi, h = scan.angle_from_array_index(z), np.einsum("nij,nj->ni", self.settings(z), hkl)
            c, s = np.cos(phi), np.sin(phi)  # about x
            return s0 + np.stack([h[:, 0], c * h[:, 1] - s * h[:, 2], s * h[:, 1] + c * h[:, 2]], axis=1)

        def off(z: np.ndarray) -> np.ndarray:
            return (rays(z) ** 2).sum(axis=1) - s0 @ s0

        for _ in range(6):
            z -= off(z) / ((off(z + 1e-3) - off(z - 1e-3)) / 2e-3)
        v = rays(z) @ detector.D[0].T
        xy = v[:, :2] / v[:, 2:]
        out = table.view()
        out["xyzobs.px.value"] = np.column_stack([detector.mm_to_pixel(table["panel"], xy), z])
        return out.select((z > 0) & (z < N_IMAGES) & (xy > 0).all(axis=1))


def turns(A: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(n, 3) mrad: by which rotation the orientations of settings differ from those of others."""

    def U(A: np.ndarray) -> np.ndarray:
        return np.array([a @ np.linalg.inv(Crystal.from_cell(cell_from_real_space(np.linalg.inv(a))).B) for a in A])

    R = U(A) @ U(other).transpose(0, 2, 1)
    return 500 * np.stack([R[:, 2, 1] - R[:, 1, 2], R[:, 0, 2] - R[:, 2, 0], R[:, 1, 0] - R[:, 0, 1]], axis=1)


def orientation_errors(result: RefinementResult, z: np.ndarray) -> np.ndarray:
    """(n, 3) mrad: standard uncertainties of the orientation at array indices z."""
    out = []
    for k in (1, 2, 3):
        rows = [i for i, name in enumerate(result.parameter_names) if name.startswith(f"Crystal1Phi{k}_")]
        intervals = next(n for n in range(1, 100) if n_samples(n) == len(rows))
        index, weight = Spline(0.0, N_IMAGES, intervals).weights(z)
        J = np.zeros((len(z), len(rows)))
        np.put_along_axis(J, index, weight, axis=1)
        out.append(np.sqrt(np.einsum("za,ab,zb->z", J, result.covariance[np.ix_(rows, rows)], J)))
    return np.stack(out, axis=1)


@pytest.mark.parametrize(
    ("cell", "group", "swing_deg", "growth"),
    [
        ((58.0, 58, 41, 90, 90, 90), "P 4", 0.01, 3e-4),
        ((45.0, 60, 52, 90, 104, 90), "P 1 2 1", 0.1, 2e-3),
    ],
)
def test_states_lie_within_three_errors_of_the_truth(
    cell: tuple[float, ...], group: str, swing_deg: float, growth: float
) -> None:
    turned, cells = [], []
    for seed in (1, 2):
        crystal = Crystal.from_cell(cell, rotation_matrix(np.array([0.6, 0.0, 0.8]), 0.7 + seed), group)
        experiment = replace(rotation_experiment(N_IMAGES), crystal=crystal)
        drift = Drift(crystal, seed, swing_deg, growth)
        table = drift.spots(experiment, 3.4)
        noise = np.random.default_rng(seed).normal(size=(len(table), 3)) * NOISE
        table["xyzobs.px.value"] = table["xyzobs.px.value"] + noise
        table["xyzobs.px.variance"] = np.tile(NOISE**2, (len(table), 1))
        refiner = CentroidRefiner(None, make_context())
        settings = plain_settings(parameterisation__set_scan_varying_errors=True)
        static = refiner.refine(Experiments([disturbed(experiment)]), table, settings, False, "refinement")
        result = refiner.refine(static.experiments, static.reflections, settings, True, "refinement")
        assert result.reduced_chi_squared == pytest.approx(1.0, abs=0.05)
        # The angle between beam and axis (x), which drifting crystals hide.
        esd = dict(zip(result.parameter_names, result.parameter_esds, strict=True))["Beam1Mu2"]
        s0, true_s0 = result.experiments[0].beam.s0, experiment.beam.s0
        assert abs(s0[0] / np.linalg.norm(s0) - true_s0[0] / np.linalg.norm(true_s0)) < 3e-3 * esd
        told = axis_text(result)
        assert (f"known to {np.degrees(1e-3 * esd):.2g} deg" in told) == (np.degrees(1e-3 * esd) > 0.01)
        assert axis_text(static) == ""
        z = np.arange(N_IMAGES + 1.0)
        found, true = result.experiments[0].crystal, drift.settings(z)
        A = found.A_at_scan_points
        turned.append(turns(A, true) / orientation_errors(result, z))
        # Errors of the volume: d ln V = -trace(inverse(B) dB).
        volume = np.log(np.abs(np.linalg.det(true) / np.linalg.det(A)))
        covariance = found.extra.get("B_covariance_at_scan_points", [found.extra["B_covariance"]] * len(z))
        B = np.array([Crystal.from_cell(cell_from_real_space(np.linalg.inv(a))).B for a in A])
        slope = np.linalg.inv(B).transpose(0, 2, 1).reshape(-1, 9)
        sd = np.sqrt(np.einsum("zi,zij,zj->z", slope, np.array(covariance).reshape(-1, 9, 9), slope))
        cells.append(volume / sd)
    for pulls in (np.concatenate(turned), np.concatenate(cells)):
        assert np.mean(np.abs(pulls) < 3) >= 0.99
        assert np.sqrt(np.mean(pulls**2)) < 1.6
