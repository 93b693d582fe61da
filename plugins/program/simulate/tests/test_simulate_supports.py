"""What a tape, anvils, a lost beam and stray particles do to images, against formulas of the test's own."""

from __future__ import annotations

import numpy as np
import pytest

import spindle
from spindle.errors import ParameterError
from spindle.images import ImageSequence
from spindle.testing.simulated import simulate_sweep

BRIGHT = {
    "background__flat": 30.0, "background__air": 0.0, "background__solvent": 0.0, "crystal__drift": 0.0,
    "crystal__decay": 0.0, "beam__jitter": 0.0, "beam__wobble": 0.0, "scan__n_images": 4, "structure__mean_counts": 300.0,
    "structure__d_min": 2.5, "detector__tilt": (0.0, 0.0, 0.0),
}  # fmt: skip


def pixels(sweep):
    sequence = ImageSequence(spindle.run("import", files=sweep.images).experiments[0])
    return np.stack([sequence.read(i)[0].copy() for i in range(len(sequence))])


def rays(models):
    """Unit vectors to the pixel centres."""
    d = models["detector"]
    y, x = np.mgrid[0 : d["ny"], 0 : d["nx"]] + 0.5
    lab = np.array(d["origin"]) + d["pixel_mm"] * (
        x[..., None] * np.array(d["fast"]) + y[..., None] * np.array(d["slow"])
    )
    return lab / np.linalg.norm(lab, axis=-1, keepdims=True)


def in_tape(rays, angle, height, half_width, thickness):
    """Ways of rays in a tape on the side of +x that ends half_width downstream, by cutting at its three planes."""
    away = rays[..., 0] * np.cos(angle) + rays[..., 1] * np.sin(angle)
    with np.errstate(divide="ignore"):
        way = np.minimum((height + thickness) / away, half_width / -rays[..., 2]) - height / away
    return np.where((away > 0) & (way > 0), way, 0.0)


@pytest.fixture(scope="module")
def taped(tmp_path_factory):
    parameters = {"support__tape__thickness": 0.4, "support__tape__attenuation": 1.5, "support__tape__height": 0.3}
    return simulate_sweep(tmp_path_factory.mktemp("taped"), **BRIGHT, **parameters)


def test_a_tape_takes_from_background_and_spots_what_the_formula_says(taped):
    share = np.exp(-1.5 * in_tape(rays(taped.models), np.radians(1.15), 0.3, 1.5875, 0.4))
    live = ~taped.arrays["bad"] & ~taped.arrays["shadow"]
    assert 0.1 < (share[live] < 0.7).mean() < 0.6
    efficiency = taped.arrays["background"] / (30.0 * share)
    assert np.ptp(efficiency[live]) < 0.02  # flat is the same everywhere
    a = taped.arrays
    at = np.stack([a["xy_pred_0"][:, 1], a["xy_pred_0"][:, 0]])
    inside = (at[0] > 3) & (at[0] < live.shape[0] - 3) & (at[1] > 3) & (at[1] < live.shape[1] - 3)
    inside &= (a["z_pred_0"] > 1) & (a["z_pred_0"] < 3) & (np.abs(a["zeta_0"]) > 0.3)
    inside &= live[tuple(np.clip(at, 0, np.array(live.shape)[:, None] - 1).astype(int))]
    rows = np.flatnonzero(inside)
    expected = share[tuple(at[:, rows].astype(int))]
    np.testing.assert_allclose(a["support_0"][rows], expected, rtol=0.03, atol=0.01)
    for some in (rows[expected < 0.7], rows[expected > 0.99]):  # photons came through one by one
        assert a["n_live_0"][some].sum() == pytest.approx(a["n_mean_0"][some].sum(), rel=0.05)
    free = a["I_true_0"] * a["lorentz_0"] * a["polarisation_0"] * a["qe_0"] * a["absorption_0"]
    np.testing.assert_allclose(a["n_mean_0"], free * a["support_0"], rtol=1e-9)


def test_anvils_take_from_background_and_spots_what_the_formula_says(tmp_path):
    normal = np.array([0.2, -0.3, 1.0]) / np.sqrt(1.13)
    parameters = {
        "support__anvils__thickness": 0.8,
        "support__anvils__attenuation": 0.9,
        "support__anvils__normal": normal,
    }
    dim = {**BRIGHT, "structure__mean_counts": 0.01}
    sweep = simulate_sweep(tmp_path, **dim, **parameters, scan__oscillation=20.0)
    a, axis = sweep.arrays, np.array(sweep.models["rotation_axis"])

    def share(directions, phi):
        along = axis * (axis @ normal)
        turned = along + np.cos(phi) * (normal - along) + np.sin(phi) * np.cross(axis, normal)
        return np.exp(-0.9 * 0.8 * (1 / abs(turned[2]) + 1 / np.abs(directions @ turned)))

    lab = rays(sweep.models)
    live = ~a["bad"] & ~a["shadow"]
    images = pixels(sweep)
    for k in range(4):
        expected = a["background"] * share(lab, np.radians(20.0 * (k + 0.5)))
        blocks = np.where(live, images[k] - expected, np.nan)[:400, :400].reshape(10, 40, 10, 40)
        assert np.all(np.abs(np.nanmean(blocks, axis=(1, 3))) < 5 * np.sqrt(expected.max() / 800))
    rows = np.flatnonzero((a["z_pred_0"] > 0.5) & (a["z_pred_0"] < 3.5))[:200]
    d = sweep.models["detector"]
    lab = np.array(d["origin"]) + d["pixel_mm"] * (
        a["xy_pred_0"][rows, :1] * np.array(d["fast"]) + a["xy_pred_0"][rows, 1:] * np.array(d["slow"])
    )
    lab /= np.linalg.norm(lab, axis=1)[:, None]
    expected = [share(u, np.radians(phi)) for u, phi in zip(lab, a["phi_pred_0"][rows], strict=True)]
    np.testing.assert_allclose(a["support_0"][rows], expected, rtol=1e-6)


def test_the_beam_is_lost_where_it_was_asked(tmp_path):
    sweep = simulate_sweep(tmp_path, **BRIGHT, beam__lost=("2:0", "3-4:0.25"))
    images = pixels(sweep)
    live = ~sweep.arrays["bad"]
    assert sweep.arrays["frame_scale"].tolist() == [1, 0, 0.25, 0.25]
    mean = [image[live].mean() for image in images]
    assert mean[1] == 0 and mean[2] / mean[0] == pytest.approx(0.25, abs=0.02)


def test_zingers_are_where_the_truth_says(tmp_path):
    quiet = {**BRIGHT, "background__flat": 0.0}
    plain = pixels(simulate_sweep(tmp_path / "plain", **quiet))
    sweep = simulate_sweep(tmp_path / "hit", **quiet, detector__zingers=40.0)
    more = pixels(sweep) - plain
    hits = sweep.arrays["zingers"]
    assert 120 < len(hits) < 300
    expected = np.zeros_like(more)
    np.add.at(expected, tuple(hits[:, :3].T), hits[:, 3])
    np.testing.assert_array_equal(more, expected)
    assert np.median(hits[:, 3]) == pytest.approx(400, rel=0.5)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"beam__lost": ("7:0",)}, "images are 1 to 4"),
        ({"beam__lost": ("2:1.5",)}, "between 0"),
        ({"beam__lost": ("two",)}, "write an image"),
        ({"support__anvils__thickness": 1.0, "support__anvils__normal": (0.0, 0.0, 0.0)}, "has a direction"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(tmp_path, parameters, message):
    with pytest.raises(ParameterError, match=message):
        simulate_sweep(tmp_path, **BRIGHT, **parameters)
