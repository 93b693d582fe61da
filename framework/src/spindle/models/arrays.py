"""Checked conversion of model fields into read-only float64 arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from spindle.errors import ModelError


def fixed_array(value: Any, shape: tuple[int, ...], name: str) -> np.ndarray:
    """Read-only float64 array of the given shape; -1 in `shape` leaves a length free.

    Raises
    ------
    ModelError
        If the value has another shape or is not finite.
    """
    array = np.array(value, dtype=np.float64)
    wanted = tuple(shape)
    if array.ndim != len(wanted) and -1 not in wanted:
        try:
            array = array.reshape(wanted)
        except ValueError as error:
            raise ModelError(f"{name}: {array.size} numbers given, {wanted} expected") from error
    if array.ndim != len(wanted) or any(w not in (-1, a) for w, a in zip(wanted, array.shape, strict=True)):
        raise ModelError(f"{name} has shape {array.shape}, {wanted} expected")
    if not np.all(np.isfinite(array)):
        raise ModelError(f"{name} is not finite: {array}")
    array.setflags(write=False)
    return array


def unit_vector(value: Any, name: str) -> np.ndarray:
    """Read-only (3,) vector of length 1; a zero vector is a ModelError."""
    array = np.array(fixed_array(value, (3,), name))
    length = float(np.sqrt(array @ array))
    if length < 1e-12:
        raise ModelError(f"{name} is the zero vector")
    # A vector that is a unit vector to rounding stays as it is, so that files survive a round trip unchanged.
    if abs(length - 1.0) > 1e-12:
        array = array / length
    array.setflags(write=False)
    return array


def rotation(axis: np.ndarray, angle: float) -> np.ndarray:
    """(3, 3) matrix of the active right-handed rotation by `angle` (radians) about the unit vector `axis`."""
    c, s = np.cos(angle), np.sin(angle)
    x, y, z = (float(v) for v in axis)
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    outer = np.outer(axis, axis)
    return np.asarray(c * np.eye(3) + s * cross + (1.0 - c) * outer)
