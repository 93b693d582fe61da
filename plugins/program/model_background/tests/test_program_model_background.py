"""The model of a scan is its true background; spots, holes and bad input."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import spindle
from spindle.errors import UserError
from spindle.models import Experiments, ImageSet
from spindle.testing import PluginContract
from spindle.testing.background_images import ringed_background
from spindle.testing.simulated_spots import simulate_spots
from spindle_lib_background_images.files import read_models

PROFILE = {"__id__": "gaussian_rs", "n_sigma": 3.0, "sigma_b": 0.05, "sigma_m": 0.15}


class TestModelBackground(PluginContract):
    slot = "program"
    name = "model_background"


@pytest.fixture(scope="module")
def scan():
    """A scan of spots on a background that grows from image to image, in memory; and the true background of scale 1."""
    spots = simulate_spots(background=0.0)
    experiment = spots.experiments[0]
    n = len(spots.images)
    expected = ringed_background(experiment, level=3.0, ring=0.0)
    scales = np.linspace(0.8, 1.2, n)
    images = spots.images + np.random.default_rng(1).poisson(expected * scales[:, None, None]).astype(np.float32)
    images = images.astype(np.int32)
    held = ImageSet(arrays=tuple((image,) for image in images), image_range=(1, n))
    return Experiments([dataclasses.replace(experiment, imageset=held, profile=PROFILE)]), expected, scales


def test_the_model_is_the_true_background(scan, tmp_path, monkeypatch):
    experiments, expected, scales = scan
    monkeypatch.chdir(tmp_path)
    result = spindle.run("model_background", experiments)
    for path, write in result.files.items():
        write(tmp_path / path)
    (model,) = read_models(tmp_path / "background.npz")
    known = model.images[0] > 0
    assert known.mean() > 0.9
    assert np.median(np.abs(model.images[0] / expected - 1)[known]) < 0.02
    assert model.images[0][known].mean() == pytest.approx(expected[known].mean(), rel=0.01)
    assert np.allclose(model.scales / model.scales.mean(), scales / scales.mean(), rtol=0.02)
    names = {"mean", "variance", "dispersion", "mask", "min", "max", "model", "polar"}
    assert {p.stem for p in tmp_path.glob("*.png")} == {f"{name}_0" for name in names}
    assert "gmodel.model=background.npz" in result.next_step


def test_images_can_be_left_out_and_pictures_too(scan):
    experiments, _, _ = scan
    quiet = {
        f"output.{name}_image_prefix": None
        for name in ("mean", "variance", "dispersion", "mask", "min", "max", "model")
    }
    result = spindle.run("model_background", experiments, exclude_images=["1:20"], **quiet)
    assert set(map(str, result.files)) == {"background.npz", "polar_0.png"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"crystal": None}, "no crystal"),
        ({"imageset": None}, "no images"),
        ({"profile": None}, "no profile model"),
        ({"scan": None}, "is a still"),
    ],
)
def test_what_is_missing_is_named(scan, change, words):
    experiments, _, _ = scan
    with pytest.raises(UserError, match=words):
        spindle.run("model_background", Experiments([dataclasses.replace(experiments[0], **change)]))
