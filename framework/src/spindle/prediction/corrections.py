"""Corrections of intensities that follow from the models."""

from __future__ import annotations

import numpy as np

from spindle.geometry.reflections import lorentz_factor, polarisation_factor, rays, stopped_fraction
from spindle.models import Beam, Detector, Goniometer

__all__ = ["lorentz_polarisation", "quantum_efficiency"]


def lorentz_polarisation(beam: Beam, goniometer: Goniometer | None, s1: np.ndarray) -> np.ndarray:
    """The column `lp` (n,): multiply an intensity by it to correct for Lorentz and polarisation factors.

    For probes other than X-rays the polarisation factor is 1. Without goniometer the Lorentz factor is 1.
    """
    inverse_lorentz = lorentz_factor(beam.s0, s1, None if goniometer is None else goniometer.axis_lab)
    if beam.probe != "x-ray":
        return inverse_lorentz
    polarisation = polarisation_factor(beam.s0, s1, beam.polarization_normal, beam.polarization_fraction)
    return np.asarray(inverse_lorentz / polarisation)


def quantum_efficiency(detector: Detector, panel: np.ndarray, s1: np.ndarray) -> np.ndarray:
    """(n,) float64: fraction of photons stopped, 1 - exp(-mu t / |cos|); 1 on panels whose mu is 0."""
    s1 = rays(s1)
    s1 = s1 / np.linalg.norm(s1, axis=-1, keepdims=True)
    panel = np.asarray(panel, dtype=np.int64)
    g = detector.geometry
    normals = np.cross(g.d[:, :, 0], g.d[:, :, 1])
    cosine = np.einsum("ij,ij->i", normals[panel], s1)
    return stopped_fraction(cosine, g.mu[panel], g.thickness[panel])
