"""Which counts of a detector can be trusted."""

from __future__ import annotations

import h5py
import numpy as np

from spindle.errors import fault

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
        # In memory the marks of 32-bit detectors are -1 and -2: below zero nothing can be trusted.
        low = None if low is None else max(low, 0.0)
    elif dtype.kind == "f" and high is not None:
        limit = high
    if (high is not None and low is not None and high < low) or (high is not None and high <= 0):
        expected = "a count above zero" if low is None else f"a count above the underload_value, {low:g}"
        where = f"{detector.name}/saturation_value"
        notes.append(fault(where, expected, f"{high:g}", f"counts up to {limit:.10g} are trusted; {remedy}"))
        high = None
    elif high is None:
        notes.append(
            fault(detector.name, "a saturation_value", None, f"counts up to {limit:.10g} are trusted; {remedy}")
        )
    return 0.0 if low is None else low, limit if high is None else min(high, limit)


def _depth(detector: h5py.Group, bits: int, high: float | None, remedy: str, notes: list[str]) -> int:
    """Bits of the counter of unsigned pixels that are stored with `bits` bits."""
    depth = number(detector, "bit_depth_image")
    if depth is None:
        return bits
    expected = ""
    if depth != int(depth) or not 1 < depth <= bits:
        expected = f"at most the {bits} bits that the images are stored with"
    elif high is not None and high > 2**depth:
        expected = f"enough bits for the saturation_value, {high:g}"
    if expected:
        remedy = f"{bits} bits are taken; {remedy} if that is wrong"
        notes.append(fault(f"{detector.name}/bit_depth_image", expected, f"{depth:g}", remedy))
        return bits
    return int(depth)
