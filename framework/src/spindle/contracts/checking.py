"""What hooks return, checked: type, shape, dtype, and numbers where there must be numbers.

Each contract has one function per hook in the attribute ``checks`` of its specification. The host calls it with the arguments of the hook
and its result after every call, and the conformance kit does nothing else first. A check costs microseconds for a whole block, so that it
is never left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any

import numpy as np

from spindle.table import ReflectionTable, Shoeboxes

__all__ = [
    "Check",
    "Checked",
    "Checks",
    "Fault",
    "array",
    "finite",
    "instance",
    "integer",
    "items",
    "kind_of",
    "number",
    "read_only",
]

Check = Callable[[dict[str, Any], Any], Any]
Checks = dict[str, Check]


class Fault(Exception):
    """What is wrong with a result; the host adds whose it is."""


def kind_of(value: object) -> str:
    """A value in a few words."""
    if value is None:
        return "None"
    if isinstance(value, np.ndarray):
        return f"an array {value.shape} of {value.dtype}"
    text = repr(value)
    name = type(value).__name__
    return name if len(text) > 60 or " object at 0x" in text else f"{name} {text}"


def instance(value: Any, kind: type | tuple[type, ...], what: str) -> Any:
    """The value, which must be a `kind`."""
    if not isinstance(value, kind):
        wanted = " or ".join(k.__name__ for k in (kind if isinstance(kind, tuple) else (kind,)))
        raise Fault(f"{what} is {kind_of(value)}, {wanted} expected")
    return value


def array(value: Any, shape: tuple[int | None, ...], dtype: Any, what: str) -> np.ndarray:
    """The value, which must be an array.

    Parameters
    ----------
    value : object
    shape : tuple of int or None
        None leaves a length free.
    dtype : numpy type, or kinds as ``"iu"``
    what : str
        Its name for the message.
    """
    if not isinstance(value, np.ndarray):
        raise Fault(f"{what} is {kind_of(value)}, a numpy array expected")
    if value.ndim != len(shape) or any(w is not None and w != a for w, a in zip(shape, value.shape, strict=True)):
        wanted = "(" + ", ".join("any" if w is None else str(w) for w in shape) + ("," if len(shape) == 1 else "") + ")"
        raise Fault(f"{what} has the shape {value.shape}, {wanted} expected")
    if isinstance(dtype, str):
        if value.dtype.kind not in dtype:
            names = {"i": "integers", "u": "unsigned integers", "f": "floating numbers", "b": "bool"}
            raise Fault(f"{what} is of {value.dtype}, {' or '.join(names[k] for k in dtype)} expected")
    elif value.dtype != dtype:
        raise Fault(f"{what} is of {value.dtype}, {np.dtype(dtype)} expected")
    return value


def finite(value: np.ndarray, what: str, where: np.ndarray | None = None, least: float | None = None) -> None:
    """Refuse numbers that are not finite, or below `least`, in the rows `where` (all of them without it)."""
    if not value.size:
        return
    with np.errstate(invalid="ignore"):
        lowest = value.min()  # a NaN wins both times
        if np.isfinite(lowest) and np.isfinite(value.max()) and (least is None or lowest >= least):
            return
        bad = ~np.isfinite(value)
        if least is not None:
            bad |= value < least
    bad = bad.reshape(len(value), -1).any(axis=1)
    if where is not None:
        bad &= where
    if bad.any():
        first = int(np.argmax(bad))
        claim = "" if where is None else " although success is True there"
        wanted = "finite" if least is None else f"finite and at least {least:g}"
        raise Fault(
            f"{what} is {value[first]} in row {first}{claim}, {wanted} expected ({bad.sum()} of {len(bad)} rows)"
        )


def number(value: Any, what: str, least: float | None = None, nan: bool = False) -> None:
    """Refuse what is no finite number (NaN only with `nan`)."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise Fault(f"{what} is {kind_of(value)}, a number expected")
    if (not np.isfinite(value) and not (nan and np.isnan(value))) or (least is not None and value < least):
        raise Fault(f"{what} is {value}, a finite number{'' if least is None else f' of at least {least:g}'} expected")


def integer(value: Any, what: str, least: int = 0) -> None:
    """Refuse what is no whole number of at least `least`."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise Fault(f"{what} is {kind_of(value)}, a whole number expected")
    if value < least:
        raise Fault(f"{what} is {value}, at least {least} expected")


def items(value: Any, kind: type | tuple[type, ...], what: str, length: int | None = None) -> Sequence[Any]:
    """The value, which must be a list or tuple of `kind`, of `length` if that is given."""
    instance(value, (list, tuple), what)
    if length is not None and len(value) != length:
        raise Fault(f"{what} has {len(value)} items, {length} expected")
    for i, item in enumerate(value):
        instance(item, kind, f"{what}[{i}]")
    return value  # type: ignore[no-any-return]


def read_only(value: Any) -> Any:
    """The same values, which cannot be changed through what is returned; memory is shared.

    Arrays, tables, shoeboxes, and the dataclasses of the contracts that hold them; anything else, models among them, is returned as it is.
    """
    if isinstance(value, np.ndarray):
        if not value.flags.writeable:
            return value
        view = value.view()
        view.flags.writeable = False
        return view
    if isinstance(value, ReflectionTable):
        return value.changed(read_only)
    if is_dataclass(value) and not isinstance(value, type) and _holds_arrays(type(value)):
        names = [field.name for field in fields(value)]
        return type(value)(**{name: read_only(getattr(value, name)) for name in names})
    return value


@cache
def _holds_arrays(kind: type) -> bool:
    """Whether a dataclass is one of those that only carry arrays to a plugin: shoeboxes and what contracts name so."""
    return kind is Shoeboxes or (kind.__module__.startswith("spindle.contracts.") and kind.__name__ in _CARRIERS)


_CARRIERS = frozenset({"ErrorModelObservations", "ImageSummary", "MergedColumn", "MergedData", "ScalingObservations"})


class Checked:
    """An object that a hook returned, whose methods are checked and whose errors name the plugin, as those of the hook.

    Parameters
    ----------
    inner : object
        What the plugin made.

    Attributes
    ----------
    guard : callable
        Gives the context in which a method of the name it is given runs; the host puts its own here.
    """

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.guard: Callable[[str], AbstractContextManager[Any]] = nullcontext

    def __getattr__(self, name: str) -> Any:
        if name == "inner":  # while it is unpickled
            raise AttributeError(name)
        return getattr(self.inner, name)
