"""Rows of text, cells, matrices."""

from __future__ import annotations

import io
from dataclasses import replace

import gemmi
import numpy as np
import pytest

from spindle.errors import UserError
from spindle.geometry import rotation_matrix
from spindle.models import Beam, Crystal, Detector, Experiment, Experiments, Goniometer, Scan
from spindle.prediction import predict_static
from spindle.testing.exporter import integrated_data
from spindle_lib_exchange import (
    bravais_lattice,
    cell_for_export,
    decimals_that_fit,
    experiment_name,
    laboratory_matrices,
    orientation_from_angles,
    scan_of,
    the_space_group,
    write_rows,
)


def test_rows_are_written_as_python_formats_them():
    n = 20_011  # more than a block
    whole, real, text = np.arange(n), np.linspace(-1, 1, n), np.array(["a", "bc"])[np.arange(n) % 2]
    file = io.StringIO()
    write_rows(file, "%5d %.3f %s", [whole, real, text])
    lines = file.getvalue().splitlines()
    assert len(lines) == n
    assert lines[-1] == f"{n - 1:5d} 1.000 {text[-1]}" and lines[0] == "    0 -1.000 a"


@pytest.mark.parametrize(
    ("values", "expected"),
    [([1.0, 99999.99], 2), ([-9999.99], 2), ([-99999.5], 1), ([123456789.0], None), ([99999.996], 1), ([], 2)],
)
def test_decimals_fit_their_columns(values, expected):
    assert decimals_that_fit(np.array(values), 8, 2) == expected


def test_the_cell_is_the_median_of_the_best_known_ones():
    experiments, _ = integrated_data()
    crystal = experiments[0].crystal
    cells = [[60.0 + i, 60.0 + i, 40, 90, 90, 90] for i in (0, 0.1, 5)]
    many = Experiments(
        [replace(experiments[0], identifier=str(i), crystal=replace(crystal, extra={"recalculated_unit_cell": c}, cell_sd=np.full(6, 0.1)))
         for i, c in enumerate(cells)]
    )  # fmt: skip
    cell, sd = cell_for_export(many)
    np.testing.assert_allclose(cell, cells[1])
    np.testing.assert_allclose(sd, 0.1)
    assert cell_for_export(many, (1, 2, 3, 90, 90, 90))[0][1] == 2
    np.testing.assert_allclose(cell_for_export(experiments)[0], crystal.cell)


def test_matrices_are_those_of_the_place_in_the_scan():
    experiments, _ = integrated_data()
    experiment = experiments[0]
    A = experiment.crystal.A
    points = A * (1 + 0.001 * np.arange(31))[:, None, None]
    varying = replace(experiment, crystal=replace(experiment.crystal, A_at_scan_points=points))
    found = laboratory_matrices(varying, np.array([2.0, 2.5, 32.0, 40.0]))
    np.testing.assert_allclose(found[:, 0, 0] / A[0, 0], [1, 1.0005, 1.03, 1.03])
    np.testing.assert_allclose(laboratory_matrices(experiment, np.array([7.0]))[0], A)
    nearest = laboratory_matrices(varying, np.array([2.4, 2.6]), interpolate=False)
    np.testing.assert_allclose(nearest[:, 0, 0] / A[0, 0], [1, 1.001])


def test_space_groups_have_to_agree():
    experiments, _ = integrated_data()
    other = replace(experiments[0], identifier="b", crystal=experiments[0].crystal.with_space_group("P 41"))
    with pytest.raises(UserError, match="P 4, P 41"):
        the_space_group(Experiments([experiments[0], other]), "csv")
    with pytest.raises(UserError, match="no crystal"):
        the_space_group(experiments.replace(0, crystal=None), "csv")


@pytest.mark.parametrize(
    ("symbol", "lattice"),
    [("P 1", "aP"), ("C 1 2 1", "mC"), ("R 3 :H", "hR"), ("A b a 2", "oS"), ("F m -3 m", "cF"), ("P 31", "hP")],
)
def test_bravais_lattices(symbol, lattice):
    assert bravais_lattice(gemmi.find_spacegroup_by_name(symbol)) == lattice


def test_names_of_several_experiments():
    assert [experiment_name("a.b/c.hkl", i, 2) for i in range(2)] == ["a.b/c_1.hkl", "a.b/c_2.hkl"]
    assert experiment_name("a.b/c", 0, 2) == "a.b/c_1" and experiment_name("x.hkl", 0, 1) == "x.hkl"


def test_the_orientation_follows_from_indices_and_angles():
    """A crystal whose orientation is known, a beam 1.1 degrees off the normal of the axis, angles with four decimals."""
    rotation = rotation_matrix(np.array([0.36, 0.48, 0.8]), 1.3)
    crystal = Crystal.from_cell([31.0, 40.0, 52.0, 85.0, 97.0, 104.0], rotation)
    direction = np.array([0.02, 0.0, np.sqrt(1 - 0.02**2)])
    panel = replace(integrated_data()[0][0].detector[0], parallax="none")
    experiment = Experiment(
        Beam(direction, 0.9), Detector([panel]), Goniometer([1.0, 0.0, 0.0]), Scan((1, 90), (-20.0, 1.0)), crystal
    )  # fmt: skip
    table = predict_static(experiment, d_min=3.0)
    phi = np.deg2rad(np.round(np.rad2deg(table["xyzcal.mm"][:, 2]), 4))
    found = orientation_from_angles(table["miller_index"], phi, crystal.cell, 0.9)
    assert found.rms_deg < 1e-3
    np.testing.assert_allclose(found.A, crystal.A, atol=2e-6)
    np.testing.assert_allclose(found.direction, direction, atol=2e-5)
    assert orientation_from_angles(table["miller_index"][:20], phi[:20], crystal.cell, 0.9) is None
    plane = table["miller_index"] * [1, 1, 0]
    assert orientation_from_angles(plane, phi, crystal.cell, 0.9) is None


def test_scans_follow_from_images_and_angles_with_the_fewest_decimals():
    rng = np.random.default_rng(3)
    for first, start, width in ((1, 0.0, 0.1), (101, -37.25, 0.25), (5, 90.0, 0.0625)):
        z = rng.uniform(0, 60, 500)
        scan = scan_of(first + np.floor(z).astype(int), np.round(start + z * width, 4))
        assert scan.image_range[0] == first and scan.oscillation_deg == pytest.approx((start, width), abs=1e-9)
    assert scan_of(np.array([3, 3]), np.array([1.0, 1.1])) is None
    assert scan_of(np.array([3, 4]), np.array([1.0, 1.0])) is None
