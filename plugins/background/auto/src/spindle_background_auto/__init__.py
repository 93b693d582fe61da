"""Background chosen by the detector: glm for photon-counting pixel detectors, else simple."""

from __future__ import annotations

from .algorithm import AutoBackground

__all__ = ["AutoBackground"]
