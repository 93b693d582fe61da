"""Geometry of diffraction, arrays in and arrays out: what the models are made of.

`panels` converts between pixels, mm and rays; `reflections` holds per-reflection quantities (zeta, Lorentz and polarisation factors,
frames); `prediction_kernels` find when reciprocal lattice points diffract. Functions of models are in `spindle.prediction`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .angles import image_width as image_width
    from .angles import nearest_turn as nearest_turn
    from .angles import unwrapped as unwrapped
    from .attenuation import DENSITIES as DENSITIES
    from .attenuation import ELECTRONS_BELOW_A as ELECTRONS_BELOW_A
    from .attenuation import attenuation_coefficient as attenuation_coefficient
    from .attenuation import sensor_depth as sensor_depth
    from .directions import hemisphere as hemisphere

_HOME = {
    "image_width": "angles",
    "nearest_turn": "angles",
    "unwrapped": "angles",
    "DENSITIES": "attenuation",
    "ELECTRONS_BELOW_A": "attenuation",
    "attenuation_coefficient": "attenuation",
    "sensor_depth": "attenuation",
    "hemisphere": "directions",
    "rotation_matrix": "rotations",
    "rotate_about": "rotations",
    "zeta_factor": "reflections",
    "lorentz_factor": "reflections",
    "polarisation_factor": "reflections",
    "kabsch_frame": "reflections",
    "ray_intersections": "panels",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"spindle.geometry.{_HOME[name]}"), name)
    raise AttributeError(f"module 'spindle.geometry' has no attribute '{name}'")
