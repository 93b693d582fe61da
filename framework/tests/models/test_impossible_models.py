"""Models that cannot be are refused where they are made, with the value and what was expected."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from spindle.errors import ModelError
from spindle.models import Beam, Crystal, Goniometer, Panel, Scan

BEAM = Beam(direction=[0, 0, 1], wavelength=1.0)
SCAN = Scan((1, 3), (0.0, 0.5))
PANEL = Panel(
    fast_axis=np.array([1.0, 0, 0]),
    slow_axis=np.array([0, -1.0, 0]),
    origin=np.array([-10.0, 8, -100]),
    pixel_size=np.array([0.172, 0.172]),
    image_size=(120, 90),
)
TURNED = np.diag([1.0, 1.0, -1.0])
NUMBERS = (math.nan, math.inf, -math.inf, "x", None, [], 1e400)


@pytest.mark.parametrize("value", [*NUMBERS, 0.0, -1.0, 1e-4, 101.0])
def test_wavelengths_are_those_of_diffraction(value):
    with pytest.raises(ModelError, match=r"wavelength.*geometry\.beam\.wavelength"):
        replace(BEAM, wavelength=value)


@pytest.mark.parametrize("wavelength", [0.001, 0.0197, 0.02508, 1.0, 2.3, 100.0])
def test_electrons_and_soft_x_rays_are_possible(wavelength):
    assert replace(BEAM, wavelength=wavelength).wavelength == wavelength


@pytest.mark.parametrize(
    "changes",
    [
        {"polarization_fraction": 1.5}, {"polarization_fraction": math.nan}, {"flux": math.inf}, {"probe": "muon"},
        {"divergence_deg": "wide"}, {"direction": [0, 0, 0]}, {"direction": [0, 0]}, {"direction": "z"},
        {"s0_at_scan_points": [[0, 0, 0]]}, {"s0_at_scan_points": [[0, 0, math.nan]]},
    ],
)  # fmt: skip
def test_impossible_beams(changes):
    with pytest.raises(ModelError):
        replace(BEAM, **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"image_range": (1, 2_000_000_000)}, {"image_range": (1, 1_000_001)}, {"image_range": (3, 1)}, {"image_range": (1,)},
        {"image_range": (1, 2.5)}, {"image_range": (1, "3")}, {"image_range": None}, {"oscillation_deg": (0.0, -0.1)},
        {"oscillation_deg": (math.nan, 0.1)}, {"oscillation_deg": (0.0, math.inf)}, {"oscillation_deg": (0.0, 1e-6)},
        {"oscillation_deg": (0.0, 400.0)}, {"oscillation_deg": 0.1}, {"exposure_times": [1.0]}, {"epochs": [0.0, 1.0, math.nan]},
        {"epochs": "now"}, {"batch_offset": 1e12}, {"batch_offset": 0.5},
    ],
)  # fmt: skip
def test_impossible_scans(changes):
    with pytest.raises(ModelError):
        replace(SCAN, **changes)


def test_a_million_images_and_stills_are_possible():
    assert Scan((0, 999_999), (0.0, 0.001)).n_images == 1_000_000
    assert replace(SCAN, oscillation_deg=(3.0, 0.0)).is_still


@pytest.mark.parametrize(
    "changes",
    [
        {"fixed_rotation": TURNED}, {"setting_rotation": 2 * np.eye(3)}, {"setting_rotation": np.zeros((3, 3))},
        {"fixed_rotation": np.full((3, 3), math.nan)}, {"rotation_axis": [0, 0, 0]}, {"rotation_axis": [1, 0, math.inf]},
        {"setting_rotation_at_scan_points": [np.eye(3), TURNED]},
    ],
)  # fmt: skip
def test_impossible_goniometers(changes):
    with pytest.raises(ModelError):
        replace(Goniometer(rotation_axis=[1, 0, 0]), **changes)


@pytest.mark.parametrize("scan_axis", [-1, 2, 0.5, None, "phi"])
def test_the_scan_axis_is_one_of_the_axes(scan_axis):
    with pytest.raises(ModelError):
        Goniometer.multi_axis([[1, 0, 0], [0, 1, 0]], [0, 0], ["phi", "omega"], scan_axis)


@pytest.mark.parametrize(
    "A",
    [
        np.diag([1.0, 1.0, -1.0]) / 40, np.zeros((3, 3)), np.eye(3) * math.nan, np.eye(3) * 2.0, np.eye(3) / 6000,
        np.array([[1, 0, 0], [1, 0, 0], [0, 0, 1]]) / 40, "A", np.eye(2),
    ],
)  # fmt: skip
def test_impossible_crystals(A):
    with pytest.raises(ModelError):
        Crystal(A=A)
    with pytest.raises(ModelError):
        Crystal(A=np.eye(3) / 40, A_at_scan_points=[np.eye(3) / 40, A])


@pytest.mark.parametrize(
    "changes",
    [
        {"pixel_size": [0.0, 0.1]}, {"pixel_size": [0.1, 11.0]}, {"pixel_size": [1e-5, 1e-5]}, {"pixel_size": [0.1]},
        {"pixel_size": [math.nan, 0.1]}, {"image_size": (0, 10)}, {"image_size": (10, -1)}, {"image_size": (10, 1e9)},
        {"image_size": (10.5, 10)}, {"image_size": 10}, {"fast_axis": [0, 0, 0]}, {"fast_axis": [0.1, 1, 0]},
        {"origin": [0, math.nan, 0]}, {"origin": [0, 0]}, {"trusted_range": (10, 1)}, {"trusted_range": (0, math.nan)},
        {"trusted_range": 5}, {"gain": 0.0}, {"gain": -1.0}, {"gain": math.nan}, {"thickness": -0.1}, {"mu": -1.0},
        {"mu": math.inf}, {"pedestal": math.nan}, {"mask": [(0, 0, 5)]}, {"mask": [(5, 0, 1, 1)]}, {"mask": [(-1, 0, 1, 1)]},
        {"mask": 3}, {"raw_image_offset": (1,)}, {"parallax": "maybe"},
    ],
)  # fmt: skip
def test_impossible_panels(changes):
    with pytest.raises(ModelError, match="panel Panel"):
        replace(PANEL, **changes)


def test_the_names_of_axes_are_texts():
    with pytest.raises(ModelError, match="the name of an axis is a text"):
        Goniometer.multi_axis(np.eye(3), [0.0, 0.0, 0.0], ["phi", ["kappa"], "omega"], 2)
