"""Powder rings of ice in simulated images."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest

import spindle
from spindle.images import ImageSequence
from spindle.testing.simulated import simulate_sweep


def test_ice_makes_rings_at_its_powder_lines(tmp_path):
    few = {"scan.n_images": 1, "structure.d_min": 8.0, "detector.tilt": (0.0, 0.0, 0.0)}
    plain = simulate_sweep(tmp_path / "plain", **few)
    icy = simulate_sweep(tmp_path / "icy", **few, background__ice=5.0)
    sequence = ImageSequence(spindle.run("import", files=icy.images).experiments[0])
    ring = icy.arrays["background"] - plain.arrays["background"]
    shape = ring.shape
    centre, pixel = icy.models["detector"]["beam_centre_px"], icy.models["detector"]["pixel_mm"]
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    angle = np.arctan2(np.hypot(x - centre[0], y - centre[1]) * pixel, icy.models["detector"]["distance_along_beam"])
    s = 2.0 * np.sin(0.5 * angle) / sequence.experiment.beam.wavelength
    cell = gemmi.UnitCell(4.498, 4.498, 7.338, 90, 90, 120)
    for hkl in ((1, 0, 0), (0, 0, 2), (1, 0, 1), (1, 0, 2)):
        near = np.abs(s - 1.0 / cell.calculate_d(hkl)) < 0.006
        assert (ring * s)[near].sum() / ring[near].sum() == pytest.approx(1.0 / cell.calculate_d(hkl), abs=2e-4)
        assert 3.5 < ring[near].max() <= 5.0  # less what pixels, polarisation and the angle take
    assert ring[np.abs(s - 0.32) < 0.01].max() < 1e-3
