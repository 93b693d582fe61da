"""Simulated stills: photons where and as many as the formulas say."""

from __future__ import annotations

import numpy as np
import pytest

import spindle
from spindle.errors import ParameterError
from spindle.images import ImageSequence
from spindle.testing.simulated import simulate_sweep

DARK = {"background__flat": 0.0, "background__air": 0.0, "background__solvent": 0.0}
STEADY = {"beam__jitter": 0.0, "beam__wobble": 0.0}


@pytest.fixture(scope="module")
def stills(tmp_path_factory):
    """Ten stills without background, two crystals each but for those that miss the beam."""
    return simulate_sweep(
        tmp_path_factory.mktemp("stills"), scan__stills=True, scan__n_images=10, scan__hits=0.8, crystal__lattices=2,
        crystal__orientation=(10.0, 20.0, 30.0), scan__volume_spread=0.5, structure__mean_counts=300.0, **DARK, **STEADY,
    )  # fmt: skip


def test_photons_are_as_many_as_expected(stills):
    t = stills.arrays
    for k in range(2):
        n, expected, partiality = t[f"n_all_{k}"], t[f"n_mean_{k}"], t[f"partiality_{k}"]
        z = (n - expected)[expected > 5] / np.sqrt(expected[expected > 5])
        assert abs(z.mean()) < 5 / np.sqrt(len(z)) and z.std() == pytest.approx(1, abs=0.06)
        for low, high in ((0.01, 0.1), (0.1, 0.4), (0.4, 1.0)):
            some = (partiality > low) & (partiality < high)
            assert n[some].sum() == pytest.approx(expected[some].sum(), abs=5 * np.sqrt(expected[some].sum()))


def test_every_counted_photon_is_in_its_image(stills):
    sequence = ImageSequence(spindle.run("import", files=stills.images).experiments[0])
    for i in range(10):
        image = sequence.read(i)[0]
        counted = sum(stills.arrays[f"n_live_{k}"][stills.arrays[f"image_{k}"] == i].sum() for k in range(2))
        assert image[image > 0].sum() == counted


def test_photons_lie_where_predicted(stills):
    t = stills.arrays
    good = t["n_all_0"] > 100
    shift = (t["xyz_photon_mean_0"] - np.column_stack([t["xy_pred_0"], t["image_0"] + 0.5]))[good]
    assert np.abs(shift.mean(axis=0)).max() < 0.05 and (shift[:, 2] == 0).all()


def test_turns_are_those_of_the_prediction(stills):
    t = stills.arrays
    image = int(t["image_0"][-1])
    rows = np.flatnonzero(t["image_0"] == image)
    assert len(rows) > 100
    q, s0 = t["hkl_0"][rows] @ t["A_0"][image].T, np.array([0, 0, -1.0]) / stills.models["wavelength"]
    # turned about s1 x s0 by the angle, the point lies on the sphere
    e1 = np.cross(s0 + q, s0)
    e1 /= np.linalg.norm(e1, axis=1)[:, None]
    angle = t["turn_0"][rows][:, None]
    turned = q * np.cos(angle) + np.cross(e1, q) * np.sin(angle)
    assert np.linalg.norm(s0 + turned, axis=1) == pytest.approx(np.linalg.norm(s0), rel=1e-12)


def test_crystals_differ_and_some_images_have_none(stills):
    U, volume = stills.arrays["U_0"], stills.arrays["volume_0"]
    assert U.shape == (10, 3, 3) and np.linalg.det(U) == pytest.approx(np.ones(10))
    assert np.trace(U[0]) == pytest.approx(1 + 2 * np.cos(np.radians(np.linalg.norm([10, 20, 30]))))
    assert 0 < np.count_nonzero(volume == 0) < 10
    assert set(np.unique(stills.arrays["image_0"])) == set(np.flatnonzero(volume))
    assert ((stills.arrays["volume_1"] == 0) == (volume == 0)).all()
    imported = spindle.run("import", files=stills.images).experiments
    assert all(e.is_still for e in imported) and stills.models["stills"] is True


def test_the_same_seed_gives_the_same_photons(stills, tmp_path):
    names = {"scan__stills": True, "scan__n_images": 3, "structure__d_min": 3.0}
    first, again = (simulate_sweep(tmp_path / n, **names) for n in "ab")
    assert np.array_equal(first.arrays["n_live_0"], again.arrays["n_live_0"]) and first.arrays["n_live_0"].sum() > 0


def test_stills_without_any_crystal_are_images_of_background(tmp_path):
    blank = simulate_sweep(tmp_path, scan__stills=True, scan__n_images=2, scan__hits=0.0, structure__d_min=4.0)
    assert len(blank.images) == 2 and len(blank.arrays["hkl_0"]) == 0


@pytest.mark.parametrize(
    ("given", "text"),
    [({"crystal__mosaic_spread": 0.0}, "mosaic_spread"), ({"crystal__decay": 2.0}, "crystal.decay")],
)
def test_what_stills_cannot_have_is_refused(tmp_path, given, text):
    with pytest.raises(ParameterError, match=text):
        simulate_sweep(tmp_path, scan__stills=True, **given)
