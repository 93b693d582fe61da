"""Models: conventions with known answers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spindle.errors import ModelError
from spindle.geometry import rotation_matrix
from spindle.models import Beam, Crystal, Detector, Experiment, Experiments, Goniometer, Panel, Scan
from spindle.prediction import add_observed_geometry
from spindle.table import ReflectionTable


def flat_panel(**fields):
    values = {
        "fast_axis": [1, 0, 0], "slow_axis": [0, -1, 0], "origin": [-40.0, 50.0, -100.0], "pixel_size": [0.172, 0.172],
        "image_size": (487, 619), "thickness": 0.32, "material": "Si", "mu": 4.2, "parallax": "none",
    }  # fmt: skip
    return Panel(**{**values, **fields})


def test_beam_vector_points_from_source_to_sample():
    beam = Beam(direction=[0, 0, 2.0], wavelength=0.5)
    np.testing.assert_allclose(beam.s0, [0, 0, -2.0])


def test_beam_refuses_a_wavelength_of_zero():
    with pytest.raises(ModelError, match=r"geometry\.beam\.wavelength"):
        Beam(direction=[0, 0, 1], wavelength=0.0)


def test_b_matrix_of_a_monoclinic_cell_is_that_of_the_textbook():
    crystal = Crystal.from_cell([10.0, 20.0, 30.0, 90.0, 100.0, 90.0])
    beta = np.deg2rad(100.0)
    a_star, c_star = 1 / (10 * np.sin(beta)), 1 / (30 * np.sin(beta))
    lengths = np.linalg.norm(crystal.B, axis=0)
    np.testing.assert_allclose(lengths, [a_star, 1 / 20, c_star], rtol=1e-12)
    assert np.allclose(np.triu(crystal.B, 1), 0)


@given(st.tuples(*[st.floats(20, 150)] * 3), st.tuples(*[st.floats(75, 105)] * 3), st.floats(-3, 3))
def test_cell_survives_orientation(lengths, angles, turn):
    cell = [*lengths, *angles]
    U = rotation_matrix(np.array([0.6, 0.0, 0.8]), turn)
    crystal = Crystal.from_cell(cell, U)
    np.testing.assert_allclose(crystal.cell, cell, rtol=1e-9)
    np.testing.assert_allclose(crystal.U, U, atol=1e-9)


def test_multi_axis_goniometer_orders_axes_from_crystal_to_base():
    kappa = Goniometer.multi_axis([[1, 0, 0], [0, 1, 0], [0, 0, 1]], [90.0, 0.0, 90.0], ["phi", "kappa", "omega"], 1)
    np.testing.assert_allclose(kappa.fixed_rotation, rotation_matrix(np.array([1.0, 0, 0]), np.pi / 2), atol=1e-15)
    np.testing.assert_allclose(
        kappa.axis_lab, rotation_matrix(np.array([0.0, 0, 1]), np.pi / 2) @ [0, 1, 0], atol=1e-15
    )


def test_image_number_i_covers_array_indices_i_minus_1_to_i():
    scan = Scan(image_range=(5, 14), oscillation_deg=(30.0, 0.5))
    assert scan.array_range == (4, 14)
    assert np.rad2deg(scan.angle_from_array_index(4.0)) == pytest.approx(30.0)
    assert np.rad2deg(scan.angle_from_array_index(4.5)) == pytest.approx(30.25)
    assert scan.array_index_from_angle(np.deg2rad(35.0)) == pytest.approx(14.0)


def test_slice_of_a_scan_starts_at_its_own_angle():
    part = Scan(image_range=(5, 14), oscillation_deg=(30.0, 0.5)).slice(7, 9)
    assert part.image_range == (7, 9) and part.oscillation_deg == (31.0, 0.5)
    with pytest.raises(ModelError, match="5 to 14"):
        Scan(image_range=(5, 14), oscillation_deg=(30.0, 0.5)).slice(3, 6)


@pytest.mark.parametrize("parallax", ["none", "normalised"])
def test_pixels_and_mm_are_inverse(parallax):
    detector = Detector([flat_panel(parallax=parallax)])
    xy = np.random.default_rng(1).uniform(0, 480, (100, 2))
    np.testing.assert_allclose(detector.mm_to_pixel(0, detector.pixel_to_mm(0, xy)), xy, atol=1e-9)


def test_depth_of_detected_photons_against_integration():
    """The mean depth of absorbed photons is the mean of the exponential law cut at the path through the sensor."""
    mu, thickness = 4.2, 0.32
    detector = Detector([flat_panel(parallax="normalised", origin=[0.0, 0.0, -100.0])])
    xy = np.array([[60.0, 0.0]])
    ray = np.array([60.0, 0.0, -100.0]) / np.hypot(60, 100)
    path = thickness / abs(ray[2])
    depth = np.linspace(0, path, 200001)
    weight = np.exp(-mu * depth)
    mean = np.trapezoid(depth * weight, depth) / np.trapezoid(weight, depth)
    shift = detector.mm_to_pixel(0, xy)[0, 0] * 0.172 - 60.0
    assert shift == pytest.approx(mean * ray[0], rel=1e-8)


def test_parallax_without_a_sensor_is_refused():
    with pytest.raises(ModelError, match="thickness"):
        flat_panel(parallax="dials", thickness=0.0)


def test_resolution_follows_bragg():
    detector = Detector([flat_panel()])
    beam = Beam(direction=[0, 0, 1], wavelength=1.0)
    centre = detector.beam_centre_px(beam.s0)
    at = centre + [100 / 0.172, 0]
    two_theta = np.arctan(1.0)
    assert detector.resolution_at(0, [at], beam.s0)[0] == pytest.approx(1.0 / (2 * np.sin(two_theta / 2)))


def test_experiments_share_models_by_identity():
    beam, detector = Beam(direction=[0, 0, 1], wavelength=1.0), Detector([flat_panel()])
    experiments = Experiments([Experiment(beam, detector), Experiment(beam, detector)])
    other = Beam(direction=[0, 0, 1], wavelength=2.0)
    changed = experiments.with_model(beam, other)
    assert changed[0].beam is changed[1].beam is other
    assert experiments[0].beam is beam
    assert changed.unique("detector") == [detector]


@pytest.mark.parametrize("panel", [1, -1, 2**40, -(2**63)])
def test_panels_are_those_of_the_detector(panel):
    """A kernel that takes another number reads what lies beyond its arrays."""
    one = Panel([1, 0, 0], [0, -1, 0], [-10, 8, -100], (0.1, 0.1), (200, 160))
    detector, xy, panels = Detector([one]), np.ones((3, 2)), np.array([0, panel, 0])
    for convert in (detector.pixel_to_mm, detector.mm_to_pixel, detector.lab_coordinate_of_pixel):
        with pytest.raises(ModelError, match=f"lies on panel {panel}, the detector has the panels 0 to 0"):
            convert(panels, xy)


def test_spots_of_an_imageset_lie_on_its_panels():
    """They belong to no experiment yet, so that only the image set says which detector it is."""
    one = Panel([1, 0, 0], [0, -1, 0], [-10, 8, -100], (0.1, 0.1), (200, 160))
    beam = Beam([0, 0, 1], 1.0)
    experiments = Experiments([Experiment(beam, Detector([one])), Experiment(beam, Detector([one] * 700))])
    spots = ReflectionTable.with_rows(1, ["id", "imageset_id", "panel", "xyzobs.px.value", "xyzobs.px.variance"])
    spots["id"], spots["panel"] = np.array([-1]), np.array([699])
    with pytest.raises(ModelError, match="lies on panel 699, the detector has the panels 0 to 0"):
        add_observed_geometry(experiments, spots, "imageset_id")
    spots["imageset_id"] = np.array([1])
    assert np.isfinite(add_observed_geometry(experiments, spots, "imageset_id")["rlp"]).all()
