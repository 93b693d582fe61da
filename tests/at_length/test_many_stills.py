"""A hundred stills: intensities merged from partial ones are those of the structure."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest
from scipy.spatial import cKDTree

import spindle
from spindle.table import Flag
from spindle.testing.simulated import simulate_sweep

CELL = {"unit_cell": (38.0, 46.0, 57.0, 90.0, 90.0, 90.0), "space_group": "P 21 21 21"}


@pytest.mark.long
def test_merged_intensities_of_a_hundred_stills_are_those_simulated(tmp_path):
    truth = simulate_sweep(
        tmp_path, scan__stills=True, scan__n_images=100, crystal__mosaic_spread=0.12, structure__mean_counts=120.0,
        structure__d_min=2.0, scan__volume_spread=0.4, run__seed=22,
    )  # fmt: skip
    result = spindle.run("stills_process", files=truth.images, **CELL)
    assert len(result.experiments) == 100
    t, r = truth.arrays, result.reflections
    image = np.array([e.scan.image_range[0] - 1 for e in result.experiments])
    places = np.column_stack([t["xy_pred_0"], t["image_0"] * 1e4])
    distance, row = cKDTree(places).query(np.column_stack([r["xyzcal.px"][:, :2], image[r["id"]] * 1e4]))
    bad = np.argwhere((t["bad"] | t["shadow"]).T)
    near, _ = cKDTree(bad).query(r["xyzcal.px"][:, :2])
    good = (distance < 1.5) & (near > 8) & r.has_flags(Flag.INTEGRATED_SUM) & (r["partiality"] > 0.4)
    row = row[good]
    scale = (t["volume_0"] * t["frame_scale"])[t["image_0"][row]]
    full = (r["intensity.sum.value"] * r["lp"] / (r["partiality"] * r["qe"]))[good] / scale
    group = gemmi.SpaceGroup("P 21 21 21")
    asu, operations = gemmi.ReciprocalAsu(group), group.operations()
    index = [asu.to_asu([int(v) for v in h], operations)[0] for h in t["hkl_0"][row]]
    _, unique = np.unique(index, axis=0, return_inverse=True)
    weight = r["partiality"][good] ** 2
    merged = np.bincount(unique.ravel(), weight * full) / np.bincount(unique.ravel(), weight)
    true = np.bincount(unique.ravel(), t["I_true_0"][row]) / np.bincount(unique.ravel())
    assert len(true) > 3000 and np.corrcoef(merged, true)[0, 1] > 0.98
    ratios = []
    for shell in np.array_split(
        np.argsort(np.bincount(unique.ravel(), t["d_0"][row]) / np.bincount(unique.ravel())), 4
    ):
        assert np.corrcoef(merged[shell], true[shell])[0, 1] > 0.95
        ratios.append(merged[shell].sum() / true[shell].sum())
    assert np.ptp(ratios) / np.mean(ratios) < 0.04  # on one scale at all resolutions
