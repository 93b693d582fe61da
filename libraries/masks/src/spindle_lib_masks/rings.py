"""Rings of equal scattering angle on a detector."""

from __future__ import annotations

import numpy as np

from spindle.models import Detector, Experiment

from .ring_kernels import number_rings

__all__ = ["ring_numbers"]

# Width of a ring in pixels.
RING_WIDTH = 2.0
# More rings than pixels of any detector; sums per ring are kept in memory.
MAX_RINGS = 2**20
# Pixels between the places where the depth of the sensor is looked at: the shift of a ray changes so slowly that in between it is
# known to a millionth of a pixel.
_STEP = 16


def ring_numbers(experiment: Experiment) -> list[np.ndarray]:
    """Number of the ring of equal scattering angle that each pixel lies in, counted from the beam.

    Returns
    -------
    list of (slow, fast) int32
        One per panel. A ring is two pixels wide where the detector is met at a right angle.
    """
    detector, beam = experiment.detector, experiment.beam
    pixel = float(detector[0].pixel_size.min())
    # Distance from the sample to the nearest point of the beam centre's panel sets the scale of all panels.
    scale = max(min(p.distance for p in detector), pixel) / pixel / RING_WIDTH
    direction = np.asarray(beam.s0, np.float64) / np.linalg.norm(beam.s0)
    rings = []
    for k, panel in enumerate(detector):
        width, height = panel.image_size
        step = _STEP if panel.distortion is None else 1
        ring = np.empty((height, width), np.int32)
        number_rings(
            _points(detector, k, step),
            step,
            panel.pixel_size,
            detector.geometry.d[k],
            direction,
            scale,
            MAX_RINGS,
            ring,
        )
        rings.append(ring)
    return rings


def _points(detector: Detector, panel: int, step: int) -> np.ndarray:
    """(rows, columns, 2) float64, mm: where the rays cross the panel that are seen at every so many-th pixel's centre."""
    width, height = detector[panel].image_size
    y, x = (np.arange(-(-n // step) + 1) * step + 0.5 for n in (height, width))
    xy = np.stack(np.broadcast_arrays(x, y[:, None]), axis=-1)
    return np.asarray(detector.pixel_to_mm(panel, xy.reshape(-1, 2)).reshape(xy.shape))
