"""From models to reflections: where and when they are seen, what observed positions mean, and corrections that follow.

`scans` predicts all reflections of a rotation scan, `stills` those of a crystal at rest; `observed` puts observed spots into reciprocal space and predicts those that have an
index; `corrections` has Lorentz, polarisation and sensor; `flat` one flat frame for several panels. All are imported on first use.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOME = {
    "lorentz_polarisation": "corrections",
    "quantum_efficiency": "corrections",
    "FlatDetector": "flat",
    "flat_detector": "flat",
    "predict_static": "scans",
    "predict_scan_varying": "scans",
    "predict": "scans",
    "predict_still": "stills",
    "predict_stills_for_indexed": "stills",
    "predict_for_indexed": "observed",
    "add_observed_geometry": "observed",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"spindle.prediction.{_HOME[name]}"), name)
    raise AttributeError(f"module 'spindle.prediction' has no attribute '{name}'")
