"""Images of Rigaku and Oxford Diffraction detectors."""

from __future__ import annotations

from .algorithm import RigakuFormat

__all__ = ["RigakuFormat"]
