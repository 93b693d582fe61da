"""Indexing of electron diffraction, where distance and cell cannot be told apart."""

from __future__ import annotations

import numpy as np
import pytest

from spindle.execution import run
from spindle.models import Beam, Crystal, Detector, Experiment, Goniometer, Panel, Scan
from spindle.testing.indexing import random_rotation, spots_of, without_crystals

CELL = (8.1, 9.7, 13.2, 90.0, 101.3, 90.0)
WRONG = 0.995  # of the distance


def microscope(distance=1000.0, centre=(510.0, 515.0)):
    """220 images of 0.5 degrees about an axis askew, electrons of 200 kV, a camera of 1024 x 1024 pixels."""
    panel = Panel(
        fast_axis=np.array([1.0, 0.0, 0.0]),
        slow_axis=np.array([0.0, -1.0, 0.0]),
        origin=np.array([-0.055 * centre[0], 0.055 * centre[1], -distance]),
        pixel_size=np.array([0.055, 0.055]),
        image_size=(1024, 1024),
    )
    return Experiment(
        beam=Beam(np.array([0.0, 0.0, 1.0]), 0.0251, polarization_fraction=0.5, probe="electron"),
        detector=Detector((panel,)),
        goniometer=Goniometer(rotation_axis=np.array([0.82, 0.57, 0.0]) / np.hypot(0.82, 0.57)),
        scan=Scan(image_range=(1, 220), oscillation_deg=(-55.0, 0.5)),
        crystal=Crystal.from_cell(CELL, random_rotation(5), "P 2"),
    )


@pytest.fixture(scope="module")
def spots():
    return spots_of([microscope()], d_min=0.9, keep=0.4, jitter_px=0.1)


def index(spots, **params):
    """Index with a header whose distance is 0.5 % and whose beam centre is 3 pixels off."""
    sweep = microscope(1000.0 * WRONG, (513.0, 513.0))
    return run("index", without_crystals([sweep]), spots, **{"max_refine": 5, **params})


def test_the_cell_is_as_right_as_the_distance(spots):
    result = index(spots)
    assert result.summary["fraction_indexed"] > 0.99
    assert sorted(result.experiments[0].crystal.cell[:3]) == pytest.approx(WRONG * np.array(CELL[:3]), rel=5e-4)
    assert abs(result.experiments[0].detector[0].directed_distance) == pytest.approx(1000.0 * WRONG, rel=1e-6)
    centre = result.experiments[0].detector.beam_centre_px(result.experiments[0].beam.s0, 0)
    assert centre == pytest.approx((510.0, 515.0), abs=0.1)


def test_a_known_cell_tells_the_distance(spots, caplog):
    caplog.set_level("INFO")
    result = index(spots, unit_cell=CELL)
    assert abs(result.experiments[0].detector[0].directed_distance) == pytest.approx(1000.0, rel=5e-4)
    assert result.experiments[0].crystal.cell == pytest.approx(CELL, rel=1e-3)
    assert any("makes the distance " in m and "it was 995.00 mm" in m for m in caplog.messages)


def test_a_known_cell_on_another_scale_is_told(spots):
    known = tuple(1.02 * v for v in CELL[:3]) + CELL[3:]
    result = index(spots, unit_cell=known, **{"detector.fix": "distance"})
    assert "the distance, 995.00 mm, is probably wrong by that factor" in result.summary["warning"]
    assert "geometry.detector.distance=1020." in result.summary["warning"]
