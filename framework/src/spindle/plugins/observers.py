"""Calling the hooks of observers, which may take fewer arguments than their specification."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any


@functools.lru_cache(maxsize=256)
def takes_of(kind: type, hook: str) -> tuple[str, ...] | None:
    """Names of the arguments that an observer's class takes of a hook; None when it does not implement it."""
    function = getattr(kind, hook, None)
    if function is None or not hasattr(function, "spindle_impl"):
        return None
    return tuple(p for p in inspect.signature(function).parameters if p != "self")


def telling(observer: Any, hook: str) -> Callable[..., Any]:
    """Return a function that calls a hook of an observer with those of the arguments that it takes."""

    def tell(**arguments: Any) -> Any:
        kind: Any = type(observer)
        names = takes_of(kind, hook)
        return None if names is None else getattr(observer, hook)(**{n: arguments[n] for n in names})

    return tell
