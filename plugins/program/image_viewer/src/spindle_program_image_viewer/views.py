"""What the page is sent of a picture: parts of it, one byte for each group of pixels, with what the bytes mean."""

from __future__ import annotations

import json
import struct
import zlib
from typing import Any

import numpy as np

from spindle.errors import ParameterError

from .image_sets import OpenSet, Picture
from .kernels import FULL, LOWEST, N_LINEAR, largest_codes, mean_codes, sampled_codes

__all__ = ["QUANTILES", "encoded_region", "message", "pixel_values"]

QUANTILES = (0.0, 0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9999, 1.0)
# Pixels that the quantiles are taken of, and how many of them lie side by side: to fetch one from memory fetches these.
_SAMPLE = 40_000
_TOGETHER = 16
# Median difference of two normal numbers, in standard deviations: sqrt(2) times 0.6745.
_MEDIAN_STEP = 0.954
#: Bytes of one answer before compression.
LARGEST = 4_000_000
#: Pixels of one answer with values.
MOST_PIXELS = 65_536


def message(header: dict[str, Any], *arrays: np.ndarray) -> bytes:
    """Length of the header, header as JSON, arrays one after the other, each little-endian."""
    text = json.dumps(header, allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    return b"".join([struct.pack("<I", len(text)), text, *(np.ascontiguousarray(a).tobytes() for a in arrays)])


def packed(data: bytes) -> bytes:
    """Deflated, fast: the noise of images has no repeats to look for."""
    squeeze = zlib.compressobj(1, zlib.DEFLATED, 15, 9, zlib.Z_RLE)
    return squeeze.compress(data) + squeeze.flush()


def statistics_of(picture: Picture, status: np.ndarray) -> tuple[np.ndarray, float]:
    """`QUANTILES` and the noise from pixel to pixel of a sample of the good pixels; zeros where there are none."""
    values, sample_status = _sampled(picture.values), _sampled(status)
    inside = (sample_status == 2) & (values >= picture.low) & (values <= picture.high)
    sample, used = values[:, :-1], inside[:, :-1]
    both = used & inside[:, 1:]
    if not used.any():
        return np.zeros(len(QUANTILES)), 0.0
    ordered = np.sort(sample[used])
    quantiles = ordered[np.round(np.multiply(QUANTILES, len(ordered) - 1)).astype(int)].astype(np.float64)
    steps = np.abs(sample[both].astype(np.float64) - values[:, 1:][both])
    return quantiles, float(np.median(steps)) / _MEDIAN_STEP if steps.size else 0.0


def _sampled(image: np.ndarray) -> np.ndarray:
    """(n, up to 17) pixels of an image: pieces of its lines, spread evenly over all of it."""
    flat = image.ravel()
    width = min(_TOGETHER + 1, flat.size)
    stride = max(width, flat.size * _TOGETHER // _SAMPLE | 1)
    return np.lib.stride_tricks.sliding_window_view(flat, width)[::stride]


def _scale(picture: Picture, quantiles: np.ndarray, noise: float, finer: int) -> tuple[float, float, float]:
    """`start`, `step` and `ratio` of the codes: equal steps for what nearly all pixels are, equal ratios above.

    A step is two fifths of the noise where there is any: finer ones would only send noise.
    """
    low, high = quantiles[1], quantiles[-4]
    width = max(high - low, 0.0)
    step = max(0.4 * noise / np.sqrt(finer), width / (0.7 * N_LINEAR))
    if picture.values.dtype == np.int32 or width == 0:
        step = max(1.0, np.floor(step)) if finer == 1 else max(1.0 / finer, step)
    start = min(0.0, low) if low < 0.2 * N_LINEAR * step else low - 0.1 * N_LINEAR * step
    # Of what is a thousand times the largest of the sample only that it is bright is told.
    top = max((min(picture.high, 1e3 * max(quantiles[-1], 1.0)) - start) / step, 2.0 * N_LINEAR)
    return float(start), float(step), float((FULL - LOWEST - N_LINEAR) / np.log(top / N_LINEAR))


def encoded_region(
    one: OpenSet,
    picture: Picture,
    column: int,
    row: int,
    width: int,
    height: int,
    binning: int,
    mode: str,
    finer: int = 1,
) -> bytes:
    """A part of a picture, as the page takes it.

    Parameters
    ----------
    one, picture
    column, row : int
        First pixel.
    width, height : int
        Of the answer, in groups of pixels.
    binning : int
        Width of a group.
    mode : "max" or "mean"
        What stands for a group.
    finer : int
        Points for each pixel, in a laboratory picture that is seen so large that the shape of pixels shows; with a binning of 1.
    """
    if width * height > LARGEST:
        raise ParameterError(f"a view of {width} x {height} is too large")
    quantiles, noise = statistics_of(picture, one.status)
    start, step, ratio = _scale(picture, quantiles, noise, binning if mode == "mean" else 1)
    codes = (float(picture.low), float(picture.high), start, step, ratio)
    if finer > 1 and picture.panels is not None:
        out = np.zeros((height, width), np.uint8)
        for values, good, place in zip(picture.panels, one.masks, one.canvas.placements, strict=True):
            if abs(np.linalg.det(place[:, :2])) > 1e-3:
                sampled_codes(
                    _plain(values), good.view(np.uint8), place[:, 2].copy(), np.linalg.inv(place[:, :2]), float(column), float(row),
                    1.0 / finer, *codes, out,
                )  # fmt: skip
    else:
        out = np.empty((height, width), np.uint8)
        finer = 1
        values = _plain(picture.values)
        if mode == "mean":
            mean_codes(values, one.status, row, column, binning, *codes, out)
        else:
            empty, masked, low = _sentinels(values.dtype, picture.low)
            line = np.empty(width * binning, values.dtype)
            largest_codes(values, one.status, row, column, binning, empty, masked, low, *codes[1:], line, out)
    header = {
        "x0": column, "y0": row, "width": width, "height": height, "binning": binning / finer,
        "start": start, "step": step, "ratio": ratio, "quantiles": quantiles.tolist(),
    }  # fmt: skip
    return message(header, out)


def pixel_values(one: OpenSet, picture: Picture, column: int, row: int, width: int, height: int) -> bytes:
    """The values and states of the pixels of a part of a picture that lies within it."""
    rows, columns = one.canvas.shape
    column, row = max(column, 0), max(row, 0)
    width, height = max(0, min(width, columns - column)), max(0, min(height, rows - row))
    if width * height > MOST_PIXELS:
        raise ParameterError(f"values of {width} x {height} pixels are too many; zoom in")
    part = slice(row, row + height), slice(column, column + width)
    values = picture.values[part].astype(np.float32 if picture.values.dtype != np.int32 else np.int32)
    header = {"x0": column, "y0": row, "width": width, "height": height, "type": values.dtype.name}
    return message(header, values.astype(values.dtype.newbyteorder("<")), one.status[part])


def _plain(values: np.ndarray) -> np.ndarray:
    """C-contiguous int32 or float32."""
    return np.ascontiguousarray(values, np.int32 if values.dtype == np.int32 else np.float32)


def _sentinels(dtype: np.dtype[Any], low: float) -> tuple[Any, Any, Any]:
    """The two lowest values of a type, which stand for no pixel and a masked one, and `low` as a value of it above them."""
    if dtype == np.int32:
        least, most = np.iinfo(np.int32).min, np.iinfo(np.int32).max
        return np.int32(least), np.int32(least + 1), np.int32(np.clip(np.ceil(low), least + 2, most))
    least_float = np.finfo(np.float32).min
    above = np.nextafter(least_float, np.float32(0))
    return np.float32(-np.inf), least_float, np.maximum(np.float32(low), above)
