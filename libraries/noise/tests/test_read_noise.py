"""Noise beyond that of counts, from images."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from spindle.images.correction import Correction
from spindle.models import Detector
from spindle.testing.background import pixel_detector
from spindle_lib_noise.read_noise import noise_offsets

SHAPE = (210, 280)


def offsets(low: float, gains: list[float], offset: float, noise: float, mean: float = 0.4) -> np.ndarray:
    """Of panels with Poisson counts on which a camera has been at work."""
    rng = np.random.default_rng(6)
    panel = dataclasses.replace(pixel_detector()[0], trusted_range=(low, 1e6), image_size=SHAPE[::-1])
    detector = Detector(tuple(dataclasses.replace(panel, name=f"p{i}", gain=g) for i, g in enumerate(gains)))
    corrections = [Correction(np.zeros((1, 1), np.float32), np.full((1, 1), g, np.float32)) for g in gains]

    def read(index: int) -> list[np.ndarray]:
        counts = rng.poisson(mean, (len(gains), *SHAPE))
        counts[:, 50:54, 60:64] += 300  # a spot
        camera = noise * rng.normal(size=counts.shape) + offset
        return [(g * c + n).astype(np.float32) for g, c, n in zip(gains, counts, camera, strict=True)]

    images = SimpleNamespace(experiment=SimpleNamespace(detector=detector), corrections=corrections, read=read)
    masks = [np.ones(SHAPE, bool)] * len(gains)
    masks[0] = masks[0].copy()
    masks[0][:30] = False
    return noise_offsets(images, masks, (0, 1, 2), corrections)


def test_mean_and_this_are_the_variance_on_every_panel() -> None:
    found = offsets(-1000.0, [4.0, 2.0, 1.0], offset=-1.5, noise=2.0)
    expected = [2.0**2 / g**2 + 1.5 / g for g in (4.0, 2.0, 1.0)]
    assert found == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize(("low", "offset", "noise"), [(0.0, 0.0, 0.0), (-10.0, 0.0, 0.0), (0.0, -1.5, 2.0)])
def test_counts_are_left_alone(low: float, offset: float, noise: float) -> None:
    assert not offsets(low, [1.0], offset, noise).any()
