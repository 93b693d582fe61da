"""Rows of text, cells, matrices."""

from __future__ import annotations

import io
from dataclasses import replace

import gemmi
import numpy as np
import pytest

from spindle.errors import UserError
from spindle.models import Experiments
from spindle.testing.exporter import integrated_data
from spindle_lib_exchange import (
    bravais_lattice,
    cell_for_export,
    decimals_that_fit,
    experiment_name,
    laboratory_matrices,
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
