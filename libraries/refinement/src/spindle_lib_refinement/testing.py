"""Settings of refinement for tests of refiners."""

from __future__ import annotations

from typing import Any

from spindle.params import build

from .params import RefinementParams

__all__ = ["plain_settings"]


def plain_settings(**changes: Any) -> Any:
    """The scope ``refinement`` without outlier rejection; changes by dotted name with double underscores for dots."""
    return build(RefinementParams).changed(**{"reflections__outlier__algorithm": None, **changes})
