"""Deep copies of what hooks take and return, and what differs between two of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from spindle.contracts.scaling import Computed
from spindle.params import Params, to_dict
from spindle.table import ReflectionTable

__all__ = ["arrays_of", "difference", "snapshot"]

Leaves = dict[str, Any]


def _walk(value: Any, path: str, depth: int = 0) -> Iterator[tuple[str, Any]]:
    """(path, value) of every array, number and text inside a value."""
    if depth > 12:
        return
    if (
        isinstance(value, np.ndarray)
        or value is None
        or isinstance(value, str | bytes | bool | int | float | np.generic)
    ):
        yield path, value
    elif isinstance(value, Computed):
        yield path, value[:]
    elif isinstance(value, ReflectionTable):
        yield f"{path}: names of columns", tuple(value.columns)
        for name in value.columns:
            yield from _walk(value[name], f"{path}[{name!r}]", depth + 1)
        yield from _walk(dict(value.identifiers), f"{path}.identifiers", depth + 1)
    elif isinstance(value, Params):
        yield path, repr(to_dict(value))
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            if not callable(part := getattr(value, field.name, None)):
                yield from _walk(part, f"{path}.{field.name}", depth + 1)
    elif isinstance(value, Mapping):
        yield f"{path}: keys", tuple(map(str, value))
        for key, part in value.items():
            yield from _walk(part, f"{path}[{key!r}]", depth + 1)
    elif hasattr(value, "__len__") and hasattr(value, "__getitem__"):  # lists, Experiments
        yield f"{path}: length", len(value)
        for i in range(len(value)):
            yield from _walk(value[i], f"{path}[{i}]", depth + 1)


def snapshot(value: Any, name: str = "value") -> Leaves:
    """Return copies of all arrays, numbers and texts in a value, by their path in it.

    Tables, shoeboxes, models, experiments, dataclasses, dictionaries and sequences are gone through; functions and other objects are not.
    """
    return {p: v.copy() if isinstance(v, np.ndarray) else v for p, v in _walk(value, name)}


def arrays_of(value: Any) -> list[np.ndarray]:
    """Return all arrays in a value, not copied."""
    return [v for _, v in _walk(value, "") if isinstance(v, np.ndarray)]


def difference(one: Leaves, other: Leaves, rtol: float = 0.0, atol: float = 0.0) -> str:
    """Say what differs between two snapshots first; empty when nothing does. NaN equals NaN.

    Parameters
    ----------
    one, other : dict
        From `snapshot`.
    rtol, atol : float
        Tolerances of floating numbers.
    """
    for path in one.keys() | other.keys():
        if (path in one) != (path in other):
            return f"{path} is there only once"
    for path, a in one.items():
        b = other[path]
        if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
            if a.shape != b.shape or a.dtype != b.dtype:
                return f"{path} is {a.shape} {a.dtype} and {b.shape} {b.dtype}"
            if a.dtype == object or a.dtype.kind in "SU":
                same = np.array_equal(a, b)
            else:
                with np.errstate(invalid="ignore"):
                    same = bool(np.isclose(a, b, rtol, atol, equal_nan=a.dtype.kind in "fc").all())
            if not same:
                where = f" in {int((a != b).sum())} of {a.size} places" if a.dtype != object else ""
                return f"{path} differs{where}"
        elif isinstance(a, float) and isinstance(b, float):
            if not np.isclose(a, b, rtol, atol, equal_nan=True):
                return f"{path} is {a} and {b}"
        elif type(a) is not type(b) or a != b:
            return f"{path} is {a!r} and {b!r}"
    return ""
