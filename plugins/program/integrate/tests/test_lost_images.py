"""Images on which the beam was lost are found, told of, and do not spoil what is beside them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import spindle
from spindle.images import ImageSequence
from spindle.table import Flag
from spindle.testing.profile import simulate_spots

MODEL = {"__id__": "gaussian_rs", "n_sigma": 3.0, "sigma_b": 0.05, "sigma_m": 0.15}
LEFT = {7: 0.0, 14: 0.3, 15: 0.3}  # by array index


@pytest.fixture(scope="module")
def spots():
    return simulate_spots(mean=900.0, n_images=24, background=1.0, seed=5)


@pytest.fixture(scope="module")
def experiments(spots):
    """Each photon of an image came with the share of the beam that was left."""
    rng = np.random.default_rng(4)
    images = np.array(
        [rng.binomial(image.astype(np.int64), LEFT.get(z, 1.0)) for z, image in enumerate(spots.images)]
    ).astype(np.int32)
    sequence = ImageSequence.from_arrays(spots.experiments[0], images)
    experiment = replace(spots.experiments[0], profile=MODEL, imageset=sequence.imageset)
    return spots.experiments.replace(0, profile=experiment.profile, imageset=experiment.imageset)


def integrate(experiments, **changes):
    given = {
        "create_profile_model": False,
        "prediction.d_min": 2.6,
        "integration.filter.automatic_mask": False,
        **changes,
    }
    return spindle.run("integrate", experiments, **given)


def ranges(result):
    return [(one["first"], one["last"], one["left_out"]) for one in result.summary["lost_images"]]


@pytest.mark.parametrize("fitting", [True, False])
def test_lost_images_are_found_and_left_out(experiments, fitting):
    result = integrate(experiments, **{"profile.fitting": fitting})
    assert ranges(result) == [(8, 8, True), (15, 16, True)]
    assert [one["share"] for one in result.summary["lost_images"]] == pytest.approx([0.0, 0.3], abs=0.08)
    table = result.reflections
    summed = table.has_flags(Flag.INTEGRATED_SUM)
    z0, z1 = table["bbox"][summed, 4], table["bbox"][summed, 5]
    for z in LEFT:
        assert not np.any((z0 <= z) & (z < z1))
    lost = next(t for t in result.tables if t.key == "lost_images")
    assert [row[1:3] for row in lost.rows] == [[8, 8], [15, 16]]


def test_lost_images_are_told_of_and_kept_if_asked(experiments):
    result = integrate(experiments, **{"integration.filter.lost_images": False})
    assert ranges(result) == [(8, 8, False), (15, 16, False)]
    z = result.reflections["xyzcal.px"][:, 2]
    assert np.any((z > 14) & (z < 16))
    usual = integrate(experiments, **{"integration.filter.least_beam": 0.2})
    assert ranges(usual) == [(8, 8, True)]


def test_whole_sweeps_have_none(spots):
    sequence = ImageSequence.from_arrays(spots.experiments[0], spots.images.astype(np.int32))
    whole = spots.experiments.replace(0, profile=MODEL, imageset=sequence.imageset)
    assert integrate(whole).summary["lost_images"] == []


def test_pixels_in_a_moving_shadow_are_left_out(spots, tmp_path):
    """A wall that hides the upper half of the detector (y > 0), on the only axis; it turns by a few degrees during the scan."""
    detector = spots.experiments[0].detector
    (tmp_path / "wall.toml").write_text(
        "[[shape]]\nname = 'wall'\npoints = [[-50, 0, -20], [50, 0, -20], [50, 80, -20], [-50, 80, -20]]\n"
    )
    sequence = ImageSequence.from_arrays(spots.experiments[0], spots.images.astype(np.int32))
    imageset = replace(sequence.imageset, params={"dynamic_shadowing": "Auto", "shadow": str(tmp_path / "wall.toml")})
    walled = spots.experiments.replace(0, profile=MODEL, imageset=imageset)
    found = integrate(walled).reflections
    lab = detector.lab_coordinate_of_pixel(found["panel"].astype(np.int64), found["xyzcal.px"][:, :2])
    whole = integrate(walled, **{"integration.use_dynamic_mask": False}).reflections
    every = detector.lab_coordinate_of_pixel(whole["panel"].astype(np.int64), whole["xyzcal.px"][:, :2])

    def height(x):
        return x[:, 1] / -x[:, 2]

    assert np.count_nonzero(height(every) > 0.15) > 20
    assert not np.any(height(lab) > 0.15)
    assert np.count_nonzero(height(lab) < -0.15) == np.count_nonzero(height(every) < -0.15) > 20
