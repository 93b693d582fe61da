"""Gaussian profiles in Kabsch's frame: the slot ``profile``, name ``gaussian_rs``."""

from __future__ import annotations

from .algorithm import GaussianRsProfile

__all__ = ["GaussianRsProfile"]
