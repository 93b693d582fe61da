"""Kernels of gmodel: the model in the pixels of shoeboxes, and its scale in each."""

from __future__ import annotations

import math

import numba

from spindle_lib_background_images.kernels import robust_scale

__all__ = ["scale_models", "take_model"]

FOREGROUND = 4
MAX_ITERATIONS = 30


@numba.njit(nogil=True, cache=True)
def take_model(image, scales, first, bbox, offsets, rows, out):
    """Pixels of a model under some shoeboxes of a panel.

    Parameters
    ----------
    image : (slow, fast) float32, counts
    scales : (m,) float64
        Of the images from array index ``first`` on; NaN where unknown.
    bbox : (n, 6) int32; offsets : (n + 1,) int64; rows : (k,) int64
    out : (p,) float32, output
        0 beside the panel.
    """
    height, width = image.shape
    for r in rows:
        k = offsets[r]
        if offsets[r + 1] == k:
            continue
        for z in range(bbox[r, 4], bbox[r, 5]):
            scale = 1.0
            if 0 <= z - first < scales.shape[0] and not math.isnan(scales[z - first]):
                scale = scales[z - first]
            for y in range(bbox[r, 2], bbox[r, 3]):
                for x in range(bbox[r, 0], bbox[r, 1]):
                    if 0 <= y < height and 0 <= x < width:
                        out[k] = scale * image[y, x]
                    k += 1


@numba.njit(nogil=True, cache=True)
def scale_models(
    data, used, mask, offsets, model, min_pixels, robust, c, table, background, mean, mean_variance, success
):
    """Scale the model to the used pixels of each shoebox: the ratio of the sums, or with Huber's weights.

    Parameters
    ----------
    data, model : (p,) float32; used, mask : (p,) uint8; offsets : (n + 1,) int64
    min_pixels : int; robust : bool; c : float; table : (m, 3) float64
        See `robust_scale`; where there are values below zero the ratio of sums is taken.
    background : (p,) float32; mean, mean_variance : (n,) float64; success : (n,) bool
        Output.
    """
    for i in range(success.shape[0]):
        first, last = offsets[i], offsets[i + 1]
        n = n_spot = 0
        shape = squares = spot = 0.0
        negative = False
        for k in range(first, last):
            if used[k] != 0:
                n += 1
                shape += model[k]
                negative |= not data[k] >= 0.0
            if mask[k] & FOREGROUND:
                n_spot += 1
                spot += model[k]
        if n < max(min_pixels, 1) or not shape > 0.0:
            continue
        if robust and not negative:
            q, variance = robust_scale(data[first:last], model[first:last], used[first:last], c, table, MAX_ITERATIONS)
        else:
            seen = 0.0
            for k in range(first, last):
                if used[k] != 0:
                    seen += data[k]
            q = seen / shape
            for k in range(first, last):
                if used[k] != 0:
                    squares += (data[k] - q * model[k]) ** 2
            variance = max(squares * n / max(n - 1, 1), 1.0 if seen == 0.0 else 0.0) / (shape * shape)
        total = 0.0
        for k in range(first, last):
            background[k] = q * model[k]
            total += background[k]
        mean[i] = total / (last - first)
        mean_variance[i] = variance * (spot / n_spot if n_spot > 0 else shape / n) ** 2
        success[i] = True
