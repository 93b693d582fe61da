"""Lattice vectors by a three-dimensional Fourier transform."""

from __future__ import annotations

from .algorithm import Fft3dIndexing

__all__ = ["Fft3dIndexing"]
