"""Lattice vectors by one-dimensional Fourier transforms."""

from __future__ import annotations

from .algorithm import Fft1dIndexing

__all__ = ["Fft1dIndexing"]
