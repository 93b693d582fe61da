"""Find the direction and the sense of the rotation axis from spots."""

from __future__ import annotations

from .program import FindRotationAxis

__all__ = ["FindRotationAxis"]
