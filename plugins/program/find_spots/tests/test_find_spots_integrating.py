"""Spots on images of an integrating camera with hardly a background, where pixels scatter more than counts do."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

import spindle
from spindle.testing.simulated import SMALL

CAMERA = {
    "detector.gain": 4.0, "detector.offset": -1.5, "detector.read_noise": 2.0, "background.flat": 0.1,
    "background.air": 0.0, "background.solvent": 0.0, "detector.hot_pixels": 0, "output.format": "nexus",
    "detector.model": "custom", "detector.image_size": (300, 320), "detector.distance": 60.0, "scan.n_images": 8,
    "structure.mean_counts": 600.0, "structure.d_min": 1.9,
}  # fmt: skip


@pytest.fixture(scope="module")
def weak(tmp_path_factory):
    """Experiments, and photons and places (px, px, images) of the true reflections."""
    folder = tmp_path_factory.mktemp("weak")
    images = spindle.run("simulate", **{**SMALL, **CAMERA, "output.directory": str(folder)}).summary["images"]
    experiments = spindle.run("import", files=images, **{"geometry.detector.panel.gain": 4.0}).experiments
    with np.load(folder / "truth.npz") as a:
        return experiments, a["n_live_0"], np.column_stack([a["xy_pred_0"], a["z_pred_0"]])


@pytest.mark.parametrize("algorithm", ["dispersion", "dispersion_extended", "radial_profile"])
@pytest.mark.sampled(3)
def test_spots_are_the_true_reflections_and_no_noise(weak, algorithm):
    experiments, photons, places = weak
    spots = spindle.run("find_spots", experiments, **{"spotfinder.threshold.algorithm": algorithm}).reflections
    found = spots["xyzobs.px.value"]
    # 2 px and 2 images: the depth in the sensor, and reflections that the ends of the sweep cut
    near = [2.0, 2.0, 2.0]
    to_truth, _ = cKDTree(places[photons > 5] / near).query(found / near)
    to_spot, _ = cKDTree(found / near).query(places[photons > 60] / near)
    assert len(to_spot) > 50
    assert (to_truth < 1).mean() > 0.95
    assert (to_spot < 1).mean() > 0.95
