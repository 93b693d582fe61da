"""Checked conversion of model fields into read-only float64 arrays."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from spindle.errors import ModelError

LARGEST = 1e100  # whatever the unit; squares of it are still numbers


def number(value: Any, name: str, low: float = -math.inf, high: float = math.inf, unit: str = "") -> float:
    """A finite number within [low, high] as float.

    Raises
    ------
    ModelError
        If the value is no number, not finite or outside the range.
    """
    try:
        if isinstance(value, str | bytes | bool):
            raise TypeError
        found = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise ModelError(f"{name} is {value!r}: a number expected") from error
    if not (math.isfinite(found) and low <= found <= high):
        unit = f" {unit}" if unit else ""
        limits = f"{low:g} to {high:g}" if math.isfinite(high) else f"{low:g} or more"
        wanted = "a finite number" if math.isinf(low) and math.isinf(high) else limits
        raise ModelError(f"{name} is {found:g}{unit}: {wanted}{unit if wanted == limits else ''} expected")
    return found


def whole_number(value: Any, name: str, low: int = -(2**31), high: int = 2**31 - 1) -> int:
    """A whole number within [low, high].

    Raises
    ------
    ModelError
        If the value is no whole number or outside the range.
    """
    found = number(value, name, low, high)
    if found != int(found):
        raise ModelError(f"{name} is {value!r}: a whole number expected")
    return int(found)


def fixed_rotation_matrix(value: Any, name: str, shape: tuple[int, ...] = (3, 3)) -> np.ndarray:
    """Read-only proper rotation matrices; `shape` is (3, 3) or (-1, 3, 3).

    Raises
    ------
    ModelError
        If the rows are not orthonormal within 1e-3 (files give five or six digits) or the determinant is not 1.
    """
    array = fixed_array(value, shape, name)
    matrices = array.reshape(-1, 3, 3)
    wrong = np.abs(matrices @ np.swapaxes(matrices, 1, 2) - np.eye(3)).max(axis=(1, 2), initial=0.0) > 1e-3
    wrong |= np.linalg.det(matrices) < 0 if len(matrices) else False
    if wrong.any():
        found = matrices[np.flatnonzero(wrong)[0]]
        raise ModelError(f"{name} is no rotation (orthonormal rows, determinant 1): {np.round(found, 4).tolist()}")
    return array


def fixed_array(value: Any, shape: tuple[int, ...], name: str) -> np.ndarray:
    """Read-only float64 array of the given shape; -1 in `shape` leaves a length free.

    Raises
    ------
    ModelError
        If the value has another shape or is not finite.
    """
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ModelError(f"{name}: {wanted_numbers(shape)} expected, found {shortened(value)}") from error
    wanted = tuple(shape)
    if array.ndim != len(wanted) and -1 not in wanted:
        try:
            array = array.reshape(wanted)
        except ValueError as error:
            raise ModelError(f"{name}: {array.size} numbers given, {wanted} expected") from error
    if array.ndim != len(wanted) or any(w not in (-1, a) for w, a in zip(wanted, array.shape, strict=True)):
        raise ModelError(f"{name} has shape {array.shape}, {wanted} expected")
    if not np.all(np.abs(array) < LARGEST):
        raise ModelError(f"{name} is not finite: {array}")
    array.setflags(write=False)
    return array


def wanted_numbers(shape: tuple[int, ...]) -> str:
    """ "3 x 3 numbers", with "n" for a free length."""
    return " x ".join("n" if n == -1 else str(n) for n in shape) + " numbers"


def shortened(value: Any) -> str:
    """The value as text of at most 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


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
