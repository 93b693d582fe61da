"""Scale many stills by post-refinement."""

from __future__ import annotations

from .program import ScaleStills

__all__ = ["ScaleStills"]
