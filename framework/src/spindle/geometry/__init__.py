"""Kernels of diffraction geometry and thin typed functions around them.

`panels` converts between pixels, mm and rays; `reflections` holds per-reflection quantities (zeta,
Lorentz-polarisation, frames); `prediction` finds where and when reciprocal lattice points diffract. The functions on
models and tables are in `observed` and `prediction`; they are imported on first use.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOME = {
    "rotation_matrix": "rotations",
    "rotate_about": "rotations",
    "zeta_factor": "reflections",
    "lorentz_factor": "reflections",
    "polarisation_factor": "reflections",
    "lorentz_polarisation": "reflections",
    "quantum_efficiency": "reflections",
    "kabsch_frame": "reflections",
    "FlatDetector": "flat",
    "flat_detector": "flat",
    "ray_intersections": "panels",
    "predict_static": "prediction",
    "predict_scan_varying": "prediction",
    "predict": "prediction",
    "predict_for_indexed": "observed",
    "add_observed_geometry": "observed",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"spindle.geometry.{_HOME[name]}"), name)
    raise AttributeError(f"module 'spindle.geometry' has no attribute '{name}'")
