"""Widths that change during a scan, and reference profiles on the sphere of directions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from spindle_profile_gaussian_rs import GaussianRsProfile
from spindle_profile_gaussian_rs.samplers import make_sampler
from spindle_profile_gaussian_rs.varying import varying_sigmas

from spindle.models import Detector
from spindle.table import ReflectionTable
from spindle.testing.profile import crop_shoeboxes, rotation_experiment, simulate_spots
from spindle.testing.simulated_spots import strong_spots


def test_blocks_are_interpolated_and_smoothed():
    rng = np.random.default_rng(1)
    z = rng.uniform(5, 105, 6000)

    def estimate(rows):
        return 0.05 + 0.0002 * z[rows].mean(), 0.1 if z[rows].mean() < 55 else 0.2

    b, m = varying_sigmas(z, (5, 105), estimate)
    middles = np.arange(5, 105) + 0.5
    assert b.shape == m.shape == (100,)
    np.testing.assert_allclose(b[15:-15], 0.05 + 0.0002 * middles[15:-15], rtol=0.01)
    assert m[10] == pytest.approx(0.1, rel=0.01) and m[-10] == pytest.approx(0.2, rel=0.01)
    assert np.all(np.diff(m) > -1e-9)
    few, _ = varying_sigmas(z[:100], (5, 105), lambda rows: (0.05, 0.1))
    np.testing.assert_allclose(few, 0.05)


@pytest.mark.parametrize("widths", ["anisotropic", "dials"])
def test_widths_of_each_part_of_a_scan_are_found(widths):
    """Half a scan of 100 images with spots of 0.1 and half with spots of 0.2 degrees."""
    parts = [simulate_spots(500.0, 0.0, 3, n_images=100, sigma_m_deg=sigma) for sigma in (0.1, 0.2)]
    tables = [strong_spots(p) for p in parts]
    chosen = [t.select((t["xyzcal.px"][:, 2] < 50) == first) for t, first in zip(tables, (True, False), strict=True)]
    for table in chosen:
        table["id"] = np.zeros(len(table), np.int32)
        table.identifiers = {}
    spots = ReflectionTable.concatenate(chosen)
    plugin = GaussianRsProfile(GaussianRsProfile.Params(scan_varying=True, widths=widths))
    (model,) = plugin.estimate_profiles(parts[0].experiments, spots)
    sigma_m = np.array(model["sigma_m"])
    assert sigma_m.shape == (100,)
    assert sigma_m[:20].mean() == pytest.approx(0.1, rel=0.1)
    assert sigma_m[-20:].mean() == pytest.approx(0.2, rel=0.1)
    sigma_b = np.array(model["sigma_b"])
    assert sigma_b.std() < 0.05 * sigma_b.mean()
    # boxes follow
    experiments = parts[0].experiments.replace(0, profile=model)
    table = parts[0].table
    bbox = plugin.bounding_boxes(experiments, table, 2.0)
    depth = (bbox[:, 5] - bbox[:, 4]) * np.abs(table["zeta"])
    z = table["xyzcal.px"][:, 2]
    early, late = (z > 10) & (z < 30), (z > 70) & (z < 90)
    assert np.median(depth[late]) > 1.4 * np.median(depth[early])
    fitter = plugin.make_fitter(experiments)
    some = table.select(early)
    box = bbox[early]
    boxes = crop_shoeboxes(replace_table(parts[0], some), box, plugin.foreground(experiments, some, box))
    fitter.learn(some, boxes)
    fitter.finish()
    (after,) = fitter.models()
    assert np.shape(after["sigma_b"]) == (100,)


def replace_table(spots, table):
    return replace(spots, table=table)


def test_profiles_on_the_sphere_stand_by_direction_on_any_number_of_panels():
    one = rotation_experiment()
    (panel,) = one.detector
    two = replace(one, detector=Detector((panel, replace(panel, origin=panel.origin + [60.0, 0.0, 0.0]))))
    s1 = np.array([[0.0, 0.0, 1.0], [0.3, 0.0, 1.0], [0.0, 0.3, 1.0], [-0.3, 0.0, 1.0], [0.01, 0.0, 1.0]])
    s1 *= np.sign(one.beam.s0[2])
    xyz = np.column_stack([np.full((5, 2), 20.0), [1.0, 1.0, 1.0, 1.0, 23.0]])
    for experiment in (one, two):
        sampler = make_sampler("spherical_grid", experiment, 3.0)
        assert len(sampler) == 18
        near = sampler.nearest(sampler.places(xyz, s1))
        assert near[0] == 0 and near[4] == 9
        assert len(set(near[1:4])) == 3 and not {0, *near[1:4]} & {9}
        weights = np.stack([sampler.weights(sampler.places(xyz, s1), k) for k in range(18)])
        assert np.all(weights.argmax(axis=0)[[0, 4]] == [0, 9])
    assert len(make_sampler("regular_grid", two, 3.0)) == 2
