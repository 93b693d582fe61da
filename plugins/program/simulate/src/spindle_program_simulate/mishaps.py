"""What befalls single images: a beam that is lost or weak, and zingers."""

from __future__ import annotations

import numpy as np

from spindle.errors import ParameterError

from .kernels import LIVE

__all__ = ["add_zingers", "beam_left"]

ZINGER_STREAM = 5  # of the random numbers of an image
SHARED = 0.3  # of the zingers leave a part in the next pixel


def beam_left(texts: tuple[str, ...], first_image: int, n_images: int) -> np.ndarray:
    """Share of the beam that is left on each image.

    Parameters
    ----------
    texts : tuple of str
        ``40:0`` or ``60-65:0.08``: numbers of images, and the share.
    first_image, n_images : int
        Of the sweep.

    Returns
    -------
    (n_images,) float64

    Raises
    ------
    ParameterError
    """
    left = np.ones(n_images)
    for text in texts:
        numbers, _, share = text.partition(":")
        first, _, last = numbers.partition("-")
        try:
            a, b, value = int(first), int(last or first), float(share)
        except ValueError:
            raise ParameterError(
                f"beam.lost={text}: write an image or a range of them and what is left of the beam, e.g. 40:0 or 60-65:0.08"
            ) from None
        if not (first_image <= a <= b < first_image + n_images):
            raise ParameterError(f"beam.lost={text}: images are {first_image} to {first_image + n_images - 1}")
        if not 0 <= value <= 1:
            raise ParameterError(f"beam.lost={text}: what is left is between 0 (none) and 1 (all)")
        left[a - first_image : b - first_image + 1] *= value
    return left


def add_zingers(
    images: np.ndarray, first: int, seed: int, rate: float, counts: tuple[float, float], state_of_pixel: np.ndarray
) -> np.ndarray:
    """Add the hits of stray particles to a block of images.

    Parameters
    ----------
    images : (m, ny, nx) int32, counts
        Images ``first`` .. ``first + m - 1``; counts are added.
    first, seed : int
    rate : float
        Mean number on an image.
    counts : (float, float)
        Least and most counts of one; their logarithms are spread evenly.
    state_of_pixel : (ny, nx) uint8

    Returns
    -------
    (k, 4) int64
        Image, y, x and counts of each pixel that was hit.
    """
    ny, nx = state_of_pixel.shape
    hits = []
    low, high = np.log(counts[0]), np.log(counts[1])
    for f in range(len(images)):
        rng = np.random.default_rng([ZINGER_STREAM, seed, first + f])
        n = rng.poisson(rate)
        y, x = rng.integers(0, ny, n), rng.integers(0, nx, n)
        value = np.exp(rng.uniform(low, high, n))
        # the next pixel gets up to a half
        part = np.where(rng.random(n) < SHARED, rng.uniform(0.05, 0.5, n), 0.0)
        beside = rng.integers(0, 4, n)
        y2, x2 = y + np.array([1, -1, 0, 0])[beside], x + np.array([0, 0, 1, -1])[beside]
        for rows, columns, share in ((y, x, 1.0 - part), (y2, x2, part)):
            added = np.floor(value * share).astype(np.int64)
            good = (added > 0) & (rows >= 0) & (rows < ny) & (columns >= 0) & (columns < nx)
            good[good] &= (state_of_pixel[rows[good], columns[good]] & LIVE) != 0
            np.add.at(images[f], (rows[good], columns[good]), added[good].astype(np.int32))
            k = int(np.count_nonzero(good))
            hits.append(np.stack([np.full(k, first + f), rows[good], columns[good], added[good]], axis=1))
    return np.concatenate(hits) if hits else np.zeros((0, 4), np.int64)
