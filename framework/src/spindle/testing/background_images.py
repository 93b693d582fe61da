"""Images of background alone, with a powder ring, for models that learn from whole images."""

from __future__ import annotations

import numpy as np

from spindle.models import Beam, Detector, Experiment, Scan
from spindle.table import MaskCode, Shoeboxes

__all__ = ["boxes_of_images", "ringed_background", "ringed_experiment", "ringed_images"]

RING_PX, RING_WIDTH_PX = 150.0, 0.8


def ringed_experiment(detector: Detector, n_images: int = 6) -> Experiment:
    """An experiment of 1 angstrom with a detector and a scan, without images."""
    return Experiment(
        beam=Beam(direction=[0, 0, 1], wavelength=1.0), detector=detector, scan=Scan((1, n_images), (0.0, 0.5))
    )


def ringed_background(experiment: Experiment, level: float = 1.0, ring: float = 6.0) -> np.ndarray:
    """(slow, fast) float64, counts: the expected image of the first panel, a slope with a ring about the beam."""
    centre = experiment.detector.beam_centre_px(experiment.beam.s0, 0)
    assert centre is not None
    nx, ny = experiment.detector[0].image_size
    y, x = np.mgrid[:ny, :nx] + 0.5
    r = np.hypot(x - centre[0], y - centre[1])
    return np.asarray(level * (1.5 - r / 900.0) + ring * np.exp(-0.5 * ((r - RING_PX) / RING_WIDTH_PX) ** 2))


def ringed_images(experiment: Experiment, expected: np.ndarray, seed: int = 0) -> np.ndarray:
    """(images, slow, fast) float32: Poisson counts about an expected image."""
    n = experiment.known_scan.n_images
    return np.random.default_rng(seed).poisson(np.broadcast_to(expected, (n, *expected.shape))).astype(np.float32)


def boxes_of_images(images: np.ndarray, n: int = 200, size: int = 13, half_spot: int = 3, seed: int = 1) -> Shoeboxes:
    """Shoeboxes (n) cut out of images (slow and fast), as deep as there are images, with a square foreground in the middle."""
    rng = np.random.default_rng(seed)
    depth, ny, nx = images.shape
    x, y = rng.integers(0, nx - size, n), rng.integers(0, ny - size, n)
    zero = np.zeros(n, np.int64)
    boxes = Shoeboxes.empty(zero, np.stack([x, x + size, y, y + size, zero, zero + depth], axis=1))
    middle = slice(size // 2 - half_spot, size // 2 + half_spot + 1)
    for i in range(n):
        data, mask, _ = boxes.pixels(i)
        data[:] = images[:, y[i] : y[i] + size, x[i] : x[i] + size]
        mask[:] = MaskCode.VALID | MaskCode.BACKGROUND
        mask[:, middle, middle] = MaskCode.VALID | MaskCode.FOREGROUND
    return boxes
