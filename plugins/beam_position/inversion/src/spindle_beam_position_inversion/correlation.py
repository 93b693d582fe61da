"""Correlation of an image with itself, inverted about each place, by Fourier transforms."""

from __future__ import annotations

import numpy as np

#: Brighter pixels than this part of all count as bright as these.
BRIGHTEST = 0.995


def prepared(image: np.ndarray, good: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """The logarithm of an image, smoothed by a running mean over `width` pixels; bad pixels are 0.

    What is brighter than nearly all pixels counts as bright as these: spots are no better than background.

    Parameters
    ----------
    image : (slow, fast) float32, counts
    good : (slow, fast) bool
    width : int

    Returns
    -------
    (slow, fast) float32, (slow, fast) bool
    """
    values = np.where(good, np.maximum(image, 0.0), 0.0).astype(np.float32)
    if width > 1:
        from scipy.ndimage import uniform_filter

        share = uniform_filter(good.astype(np.float32), width, mode="constant")
        values = np.divide(
            uniform_filter(values, width, mode="constant"), share, out=np.zeros_like(values), where=share > 1e-6
        )
    values = np.log1p(values)
    rank = int(BRIGHTEST * np.count_nonzero(good))
    limit = np.partition(values[good], rank)[rank]
    return np.where(good, np.minimum(values, limit), np.float32(0.0)).astype(np.float32), good


def binned(values: np.ndarray, good: np.ndarray, factor: int) -> tuple[np.ndarray, np.ndarray]:
    """Means of the good pixels in squares of `factor` pixels; a square is good when half of its pixels are."""
    if factor == 1:
        return values, good
    height, width = (n // factor * factor for n in values.shape)
    shape = (height // factor, factor, width // factor, factor)
    count = np.count_nonzero(good[:height, :width].reshape(shape), axis=(1, 3))
    total = values[:height, :width].reshape(shape).sum(axis=(1, 3))
    mean = np.divide(total, count, out=np.zeros(count.shape, np.float32), where=count > 0)
    return mean.astype(np.float32), 2 * count >= factor**2


def best_inversion(
    values: np.ndarray, good: np.ndarray, guess: np.ndarray, reach: float, least_overlap: float = 0.2
) -> tuple[np.ndarray, float] | None:
    """Place about which inversion leaves the image most alike.

    Parameters
    ----------
    values : (slow, fast) float32
    good : (slow, fast) bool
    guess : (2,) float64, pixels
        x and y of the middle of the places that are tried.
    reach : float, pixels
        How far from there.
    least_overlap : float
        Part of the good pixels that must have a good mate.

    Returns
    -------
    (2,) float64, pixels, and float
        Centre (x, y) and correlation of the pairs; None when there are not enough pairs anywhere.

    Notes
    -----
    Pixels a and b are mates about (a + b + 1) / 2, so that an image convolved with itself holds the sums over pairs for
    all centres at once; with the mask's own convolution they become correlations. Padfield (2012), IEEE Trans. Image
    Process. 21, 2706-2718.
    """
    from scipy.fft import irfft2, next_fast_len, rfft2

    n_good = int(np.count_nonzero(good))
    window = _window(guess, reach, values.shape)
    if n_good < 100 or window is None:
        return None
    shape = [next_fast_len(2 * n - 1, real=True) for n in values.shape]
    centred = np.where(good, values - np.mean(values[good]), np.float32(0.0)).astype(np.float32)
    mask_f, value_f = rfft2(good.astype(np.float32), shape), rfft2(centred, shape)
    square_f = rfft2(centred**2, shape)
    pairs = np.maximum(np.rint(irfft2(mask_f * mask_f, shape)[window]), 1.0).astype(np.float64)
    mean = irfft2(value_f * mask_f, shape)[window] / pairs
    product = irfft2(value_f * value_f, shape)[window] / pairs
    variance = irfft2(square_f * mask_f, shape)[window] / pairs - mean**2
    enough = (pairs >= least_overlap * n_good) & (variance > 1e-6)
    if not enough.any():
        return None
    score = np.where(enough, (product - mean**2) / np.where(enough, variance, 1.0), -np.inf)
    i, j = (int(k) for k in np.unravel_index(np.argmax(score), score.shape))
    y = window[0].start + i + _vertex(score[:, j], i)
    x = window[1].start + j + _vertex(score[i], j)
    return 0.5 * (np.array([x, y]) + 1.0), float(score[i, j])


def _window(guess: np.ndarray, reach: float, shape: tuple[int, ...]) -> tuple[slice, slice] | None:
    """Sums of the indices (slow, fast) of mates about the places within `reach` of the guess; None when empty."""
    slices = []
    for centre, n in zip(guess[::-1], shape, strict=True):
        first = max(0, int(np.floor(2 * (centre - reach) - 1)))
        last = min(2 * n - 2, int(np.ceil(2 * (centre + reach) - 1)))
        if last < first:
            return None
        slices.append(slice(first, last + 1))
    return slices[0], slices[1]


def _vertex(score: np.ndarray, k: int) -> float:
    """Offset of the vertex of the parabola through a maximum and its neighbours."""
    if not 0 < k < len(score) - 1 or not np.all(np.isfinite(score[k - 1 : k + 2])):
        return 0.0
    a, b, c = score[k - 1 : k + 2]
    curvature = a - 2 * b + c
    return float(0.5 * (a - c) / curvature) if curvature < 0 else 0.0
