"""The dispersion threshold on an NVIDIA graphics processor."""

from __future__ import annotations

from .algorithm import DispersionCudaThreshold

__all__ = ["DispersionCudaThreshold"]
