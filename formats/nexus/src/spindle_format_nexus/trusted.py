"""Which counts of a detector can be trusted."""

from __future__ import annotations

import h5py
import numpy as np

from .hdf import number

_LARGEST = 2**31 - 1


def trusted_range(detector: h5py.Group, dtype: np.dtype, notes: list[str]) -> tuple[float, float]:
    """Lowest and highest count, both inclusive, from saturation_value, underload_value and bit_depth_image.

    Unsigned detectors mark bad pixels with the two highest numbers of their counter, which are never trusted.

    Parameters
    ----------
    detector : Group
    dtype : dtype
        Of the stored pixels.
    notes : list of str
        Filled.
    """
    low = number(detector, "underload_value")
    high = number(detector, "saturation_value", "detectorSpecific/countrate_correction_count_cutoff")
    remedy = "set geometry.detector.panel.trusted_range="
    limit = float(_LARGEST)
    if dtype.kind == "u":
        bits = 8 * dtype.itemsize
        depth = _depth(detector, bits, high, remedy, notes)
        limit = min(limit, float(2**depth - 3))
    elif dtype.kind == "f" and high is not None:
        limit = high
    if (high is not None and low is not None and high < low) or (high is not None and high <= 0):
        notes.append(f"{detector.name}/saturation_value is {high:g}: counts up to {limit:g} are trusted; {remedy}")
        high = None
    elif high is None:
        notes.append(f"{detector.name} has no saturation_value: counts up to {limit:g} are trusted; {remedy}")
    return 0.0 if low is None else low, limit if high is None else min(high, limit)


def _depth(detector: h5py.Group, bits: int, high: float | None, remedy: str, notes: list[str]) -> int:
    """Bits of the counter of unsigned pixels that are stored with `bits` bits."""
    depth = number(detector, "bit_depth_image")
    if depth is None:
        return bits
    where = f"{detector.name}/bit_depth_image is {depth:g}"
    if depth != int(depth) or not 1 < depth <= bits:
        notes.append(f"{where}, the images are stored with {bits} bits, which is taken; {remedy} if that is wrong")
        return bits
    if high is not None and high > 2**depth:
        notes.append(
            f"{where}, but saturation_value is {high:g}, which does not fit: the {bits} bits of the images are taken; "
            f"{remedy} if that is wrong"
        )
        return bits
    return int(depth)
