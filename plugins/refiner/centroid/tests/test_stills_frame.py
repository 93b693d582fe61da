"""What of stills cannot be refined together is kept, and said."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
from spindle_refiner_centroid import CentroidRefiner

import spindle
from spindle.models import Detector, Experiments
from spindle.table import Flag, ReflectionTable
from spindle.testing.stills import simulated_stills
from spindle_lib_refinement.testing import plain_settings

NOISE_PX = 0.1


@pytest.fixture(scope="module")
def stills():
    """Twelve stills whose detector is 0.4 mm and 0.2 degrees from where it is thought to be, and their spots."""
    sample = simulated_stills(12, d_min=3.0, error_deg=0.0)
    rng = np.random.default_rng(5)
    panel = sample.experiments[0].detector[0]
    angle = np.radians(0.2)
    fast = np.cos(angle) * panel.fast_axis + np.sin(angle) * np.cross(panel.fast_axis, panel.slow_axis)
    true = replace(panel, fast_axis=fast, origin=panel.origin + [0.4, -0.3, 0.2])
    tables = []
    for k, experiment in enumerate(sample.experiments):
        rows = sample.table["id"] == k
        hkl = sample.table["miller_index"][rows]
        s1 = experiment.beam.s0 + hkl @ experiment.crystal.A.T
        s1 *= np.linalg.norm(experiment.beam.s0) / np.linalg.norm(s1, axis=1)[:, None]
        axes = np.stack([true.fast_axis, true.slow_axis, true.origin], axis=1)
        met = s1 @ np.linalg.inv(axes).T
        xy = met[:, :2] / met[:, 2:] / true.pixel_size
        seen = (met[:, 2] > 0) & ((xy > 5) & (xy < 995)).all(axis=1)
        n = int(seen.sum())
        part = ReflectionTable.with_rows(n, ["id", "panel", "flags"])
        part["id"] = np.full(n, k, np.int32)
        part["flags"] = np.full(n, int(Flag.INDEXED | Flag.STRONG), np.uint64)
        part["miller_index"], part["s1"] = hkl[seen], s1[seen]
        part["xyzobs.px.value"] = np.column_stack([xy[seen] + rng.normal(0, NOISE_PX, (n, 2)), np.full(n, 0.5)])
        part["xyzobs.px.variance"] = np.full((n, 3), NOISE_PX**2)
        tables.append(part)
    table = ReflectionTable.concatenate(tables)
    table.identifiers = {k: e.identifier for k, e in enumerate(sample.experiments)}
    return sample.experiments, table, Detector((true,))


def refined(stills, **changed):
    experiments, table, _ = stills
    settings = plain_settings(reflections__outlier__algorithm=None, **changed)
    return CentroidRefiner().refine(experiments, table, settings, False, "refinement")


def weakest(result):
    """The least curvature of the fit, of parameters scaled by their own; 0 where it is none."""
    if not (np.diag(result.covariance) > 0).all():
        return 0.0
    sd = np.sqrt(np.diag(result.covariance))
    return 1 / np.linalg.eigvalsh(result.covariance / np.outer(sd, sd))[-1]


def test_beam_and_turn_of_the_detector_are_kept_and_the_detector_comes_to_its_place(stills):
    result = refined(stills)
    assert not [name for name in result.parameter_names if "Mu" in name or name.endswith(("nu", "Tau1"))]
    assert {"Detector1Dist", "Detector1Tau2"} <= set(result.parameter_names)
    assert np.isfinite(result.parameter_esds).all() and weakest(result) > 1e-3
    assert result.rmsd_px[:, :2].max() < 2 * NOISE_PX, (
        "spots off the Ewald sphere are brought onto it in another way than here"
    )
    found, true = result.experiments[0].detector[0], stills[2][0]
    esd = dict(zip(result.parameter_names, result.parameter_esds, strict=True))
    assert np.abs(found.origin - true.origin).max() < 4 * esd["Detector1Dist"] < 0.5
    np.testing.assert_allclose(found.normal, true.normal, atol=5e-4)


def test_refined_together_they_are_not_determined(stills):
    both = refined(stills, parameterisation__beam__fix="wavelength")
    assert weakest(both) < 1e-6


def test_with_the_detector_in_place_the_beam_is_refined(stills):
    experiments, table, detector = stills
    here = Experiments([replace(e, detector=detector) for e in experiments])
    result = refined((here, table, detector), parameterisation__detector__fix="all")
    assert {"Beam1Mu1", "Beam1Mu2"} <= set(result.parameter_names)
    assert weakest(result) > 1e-3
    np.testing.assert_allclose(result.experiments[0].beam.s0, here[0].beam.s0, atol=2e-4)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "can turn together without moving a spot"),
        ({"beam.fix": "wavelength"}, "cannot be told from the place of the detector"),
    ],
)
def test_the_user_is_told(stills, given, said, caplog):
    experiments, table, _ = stills
    few = Experiments(list(experiments)[:3])
    with caplog.at_level(logging.INFO):
        spindle.run("refine", few, table.select(table["id"] < 3), **given)
    assert said in caplog.text
