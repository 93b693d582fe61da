"""Experiments for files that know a crystal and nothing else."""

from __future__ import annotations

import numpy as np

from spindle.models import Beam, Crystal, Detector, Experiment, Goniometer, Panel, Scan

__all__ = ["experiment_without_images"]


def experiment_without_images(crystal: Crystal, wavelength: float) -> Experiment:
    """The crystal with a beam of its wavelength, and a detector, an axis along +x and one image that stand for what is not known."""
    panel = Panel(
        np.array([1.0, 0, 0]),
        np.array([0, -1.0, 0]),
        np.array([-50.0, 50.0, -100.0]),
        np.array([0.1, 0.1]),
        (1000, 1000),
    )
    return Experiment(
        Beam(np.array([0.0, 0.0, 1.0]), wavelength),
        Detector([panel]),
        Goniometer(np.array([1.0, 0.0, 0.0])),
        Scan((1, 1), (0.0, 1.0)),
        crystal,
    )
