"""An experiment with images before and after its scan, for which nobody knows more than the ends of the scan say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from spindle.models import Experiment

__all__ = ["extended"]


def extended(experiment: Experiment, n: int) -> Experiment:
    """The experiment with n images more at both ends of its scan.

    What the models have for each image or scan point stays, outside the scan, as it is at the end. Stills are left alone.
    """
    scan = experiment.scan
    if n == 0 or scan is None or experiment.is_still:
        return experiment
    (first, last), (start, width) = scan.image_range, scan.oscillation_deg
    wider = replace(
        scan, image_range=(first - n, last + n), oscillation_deg=(start - n * width, width), exposure_times=None, epochs=None,
    )  # fmt: skip
    profile = experiment.profile
    if profile:
        profile = {key: _padded(value, scan.n_images, n) for key, value in profile.items()}
    beam = replace(experiment.beam, s0_at_scan_points=_ends_repeated(experiment.beam.s0_at_scan_points, n))
    return replace(experiment, scan=wider, beam=beam, profile=profile)


def _ends_repeated(points: np.ndarray | None, n: int) -> np.ndarray | None:
    if points is None:
        return None
    return np.pad(points, [(n, n)] + [(0, 0)] * (points.ndim - 1), mode="edge")


def _padded(value: Any, n_images: int, n: int) -> Any:
    """A value of a profile model; one for each image gets those of the images that are added."""
    if isinstance(value, list | tuple | np.ndarray) and len(value) == n_images > 2:
        return np.pad(np.asarray(value, dtype=np.float64), (n, n), mode="edge").tolist()
    return value
