"""How models show themselves in notebooks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from spindle.report import definitions_html

__all__ = ["Described", "numbers"]


def numbers(values: Iterable[Any], digits: int = 4) -> str:
    """Numbers side by side, without trailing zeros."""
    return " ".join(f"{float(v):.{digits}f}".rstrip("0").rstrip(".") or "0" for v in values)


class Described:
    """A model with a title and lines of name and value."""

    def described(self) -> tuple[str, list[tuple[str, str]]]:
        """What a person wants to know of it first: a title, and (name, value) with units."""
        raise NotImplementedError

    def _repr_html_(self) -> str:
        return definitions_html(*self.described())
