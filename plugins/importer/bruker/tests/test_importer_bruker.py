"""The importer passes the contract of its slot."""

from __future__ import annotations

import numpy as np
import pytest

import spindle
from spindle.errors import FileFormatError
from spindle.testing.importer import ImporterContract

P4P = """FILEID SAINT V8.40B
SITEID LAB
TITLE    Of nothing
CELL     10.0000 12.0000 15.0000 90.0000 101.0000 90.0000 1766.9
CELLSD   0.0010 0.0020 0.0030 0.0000 0.0100 0.0000 0.5
ORT1     0.00000000 0.08333333 0.00000000
ORT2    -0.10187167 0.00000000 0.00000000
ORT3     0.01980182 0.00000000 0.06791445
SOURCE   MO  0.71073 0.70930 0.71359 2.00000 50.00 40.00
"""


@pytest.fixture
def p4p(tmp_path):
    path = tmp_path / "a.p4p"
    path.write_text(P4P)
    return path


class TestBrukerImporter(ImporterContract):
    name = "bruker"

    @pytest.fixture
    def result_file(self, p4p):
        return p4p


def test_cell_orientation_and_wavelength_are_read(p4p):
    found = spindle.run("import", files=[p4p]).experiments[0]
    assert found.beam.wavelength == 0.71073
    np.testing.assert_allclose(found.crystal.cell_sd, [0.001, 0.002, 0.003, 0, 0.01, 0])
    np.testing.assert_allclose(found.crystal.extra["recalculated_unit_cell"], [10, 12, 15, 90, 101, 90])
    assert found.crystal.A[0, 1] == 0.08333333


def test_the_file_of_two_theta_refine_is_read(tmp_path):
    path = tmp_path / "b.p4p"
    path.write_text(
        "TITLE    x\nCELL     10 12 15 90 101 90 1766\nCELLSD   0.1 0.1 0.1 0 0 0 1\nSOURCE   SYNCH   0.970000\n"
    )
    found = spindle.run("import", files=[path]).experiments[0]
    np.testing.assert_allclose(found.crystal.cell, [10, 12, 15, 90, 101, 90])
    assert found.beam.wavelength == 0.97


def test_a_file_without_wavelength_is_refused(p4p):
    p4p.write_text(P4P.replace("0.71073 0.70930 0.71359 2.00000 50.00 40.00", ""))
    with pytest.raises(FileFormatError, match="SOURCE"):
        spindle.run("import", files=[p4p])


@pytest.mark.parametrize("name", ["x_0m.sum", "x_01._ls"])
def test_a_listing_is_refused_with_the_file_to_give_instead(tmp_path, name):
    path = tmp_path / name
    path.write_text("SAINT V8.38A\n Unit cell: 10 12 15 90 101 90\n")
    with pytest.raises(FileFormatError, match=r"give the \.p4p file of the same run"):
        spindle.run("import", files=[path])
