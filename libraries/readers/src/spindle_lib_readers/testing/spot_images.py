"""A small sweep of spots at known places, for tests of spot finding."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from spindle.models import Beam, Detector, Experiment, Experiments, Goniometer, ImageSet, Panel, Scan

from ..testing.mini_cbf import write_mini_cbf

__all__ = ["SWEEP_SHAPE", "render_spots", "write_spot_sweep"]

# Images, rows, columns.
SWEEP_SHAPE = (24, 90, 120)


def render_spots(seed: int = 0, counts: float = 4000.0, background: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """A sweep of Gaussian spots on a flat background.

    Parameters
    ----------
    seed : int
    counts : float
        Expected counts of each spot.
    background : float
        Expected counts of each pixel.

    Returns
    -------
    images : `SWEEP_SHAPE` int32
    centres : (n, 3) float64, pixels and images
        x, y, z of each spot.
    """
    from scipy.special import ndtr

    n_images, height, width = SWEEP_SHAPE
    rng = np.random.default_rng(seed)
    x, y = np.meshgrid(np.arange(12, width - 12, 16), np.arange(12, height - 12, 16))
    centres = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], axis=1) + rng.uniform(-2, 2, (x.size, 3))
    centres[:, 2] = rng.uniform(3, n_images - 3, len(centres))
    share = [
        np.diff(ndtr((np.arange(n + 1) - centres[:, k, None]) / s), axis=1)
        for k, n, s in ((0, width, 0.9), (1, height, 0.9), (2, n_images, 0.8))
    ]
    expected = background + counts * np.einsum("nz,ny,nx->zyx", share[2], share[1], share[0])
    return rng.poisson(expected).astype(np.int32), centres


def write_spot_sweep(folder: Path, images: Iterable[np.ndarray], name: str = "sweep") -> Experiments:
    """Write images of `SWEEP_SHAPE` as CBF files; the experiment list of them: 0.1 degrees each, 100 mm, 1 angstrom."""
    images = list(images)
    _, height, width = SWEEP_SHAPE
    for i, image in enumerate(images):
        write_mini_cbf(folder / f"{name}_{i + 1:04d}.cbf", image, compress=False)
    panel = Panel(
        fast_axis=np.array([1.0, 0, 0]), slow_axis=np.array([0, -1.0, 0]), origin=np.array([-10.0, 8, -100]),
        pixel_size=np.array([0.172, 0.172]), image_size=(width, height), trusted_range=(0, 1e6),
    )  # fmt: skip
    return Experiments(
        [
            Experiment(
                beam=Beam(direction=np.array([0.0, 0, 1]), wavelength=1.0),
                detector=Detector([panel]),
                goniometer=Goniometer(rotation_axis=np.array([1.0, 0.0, 0.0])),
                scan=Scan((1, len(images)), (0.0, 0.1)),
                imageset=ImageSet(template=str(folder / f"{name}_####.cbf"), image_range=(1, len(images))),
            )
        ]
    )
