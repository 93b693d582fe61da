"""The importer passes the contract of its slot."""

from __future__ import annotations

import numpy as np
import pytest
from spindle_importer_bruker import BrukerImporter

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


def test_a_summary_is_refused_with_the_files_to_give_instead(tmp_path):
    path = tmp_path / "x.sum"
    path.write_text(" Unit cell: 10 12 15 90 101 90\n")
    with pytest.raises(FileFormatError, match=r"give the \.p4p file of the same run .*listing of SAINT"):
        spindle.run("import", files=[path])
    path.write_text("Begin of measurement :\nWavelength : 0.71073\nRun # 1\n2Theta : 0.0\n")
    with pytest.raises(FileFormatError, match=r"STOE.* list of runs.* Give the images"):
        spindle.run("import", files=[path])


#: As SAINT 8.38 prints the last refinement of a single crystal, and 8.40 that of a twin; numbers of real listings.
SINGLE = """SAINT V8.38A
Wavelength, relative uncertainty:  0.7107300,  0.0000089

Reflection Summary:
 Component     Input  RLV.Excl      Used  WorstRes   BestRes   Min.2Th   Max.2Th
    1.1(1)       354         0       354    2.1231    0.4313    19.271   110.967

Orientation ('UB') matrix:
  -0.0109673  -0.0356963   0.0857365
  -0.1293333  -0.0206423  -0.0340830
   0.0284189  -0.1077181  -0.0218805

         A         B         C     Alpha      Beta     Gamma           Vol
    7.7257    8.6700   10.8259    90.000   103.055    90.000        706.39
    0.0005    0.0006    0.0013     0.000     0.007     0.000          0.13
Corrected for goodness of fit:
    0.0007    0.0009    0.0018     0.000     0.010     0.000          0.17

Orientation ('UB') matrix:
  -0.0115622  -0.0354971   0.0858275
  -0.1294219  -0.0206502  -0.0343349
   0.0285509  -0.1079832  -0.0216478

         A         B         C     Alpha      Beta     Gamma           Vol
   7.71326   8.65587  10.80824   90.0000  102.9627   90.0000        703.22
   0.00009   0.00010   0.00011    0.0000    0.0004    0.0000          0.01
Corrected for goodness of fit:
   0.00031   0.00035   0.00042    0.0000    0.0016    0.0000          0.05
"""
TWIN = """SAINT V8.40A
Wavelength, relative uncertainty:  0.7107300,  0.0000089

Orientation ('UB') matrix (Component 1.1(1)):
   0.1057060   0.0259752  -0.0460955
   0.0498177  -0.1060099   0.0087023
  -0.0452751  -0.0072057  -0.0744360

Orientation ('UB') matrix (Component 1.2(2)):
  -0.1152371   0.0259476   0.0393233
  -0.0106370  -0.1060163   0.0193720
   0.0480901  -0.0072111   0.0762866

         A         B         C     Alpha      Beta     Gamma           Vol
    8.1510    9.4231   11.6165   79.4315   82.7138   79.6064        858.65
    0.0002    0.0002    0.0002    0.0009    0.0010    0.0010          0.04
"""


def imported(tmp_path, text):
    path = tmp_path / "x_0m._ls"
    path.write_text(text)
    return spindle.run("import", files=[path]).experiments


def test_the_last_refinement_of_a_listing_is_that_of_the_p4p_file_of_its_run(tmp_path):
    """SAINT wrote both files in one run; the .p4p has the matrix to seven digits and the cell to four decimals."""
    (found,) = imported(tmp_path, SINGLE)
    p4p = [
        [-1.1562190e-002, -3.5497062e-002, 8.5827477e-002],
        [-1.2942187e-001, -2.0650223e-002, -3.4334924e-002],
        [2.8550867e-002, -1.0798320e-001, -2.1647805e-002],
    ]
    np.testing.assert_allclose(found.crystal.A, p4p, atol=6e-8)
    np.testing.assert_allclose(
        found.crystal.extra["recalculated_unit_cell"], [7.7133, 8.6559, 10.8082, 90, 102.9627, 90], atol=6e-5
    )
    np.testing.assert_allclose(found.crystal.cell_sd, [0.00031, 0.00035, 0.00042, 0, 0.0016, 0])
    assert found.beam.wavelength == 0.71073


def test_each_component_of_a_twin_is_a_crystal(tmp_path):
    """The listing gives the twin law as a half turn about a*: the second matrix is the first, turned."""
    first, second = imported(tmp_path, TWIN)
    assert not np.allclose(first.crystal.A, second.crystal.A)
    turn = second.crystal.A @ np.linalg.inv(first.crystal.A)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=2e-3)
    np.testing.assert_allclose(np.trace(turn), -1.0, atol=2e-3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SINGLE.replace("   7.71326   8.65587", "   8.65587   7.71326"), "is not that of the matrix above it"),
        (SINGLE.replace("  0.7107300,", "  ?,"), "1 numbers should be here"),
        (SINGLE[: SINGLE.index("Orientation")], "no refined orientation"),
        (TWIN.replace("-0.0744360", "-0.07x4360"), "damaged or not complete"),
        (SINGLE.replace("Wavelength", "Length"), "no line 'Wavelength"),
    ],
)
def test_a_listing_of_another_layout_is_refused(tmp_path, text, message):
    with pytest.raises(FileFormatError, match=message):
        imported(tmp_path, text)


def test_a_second_orientation_in_a_p4p_file_is_named(p4p):
    p4p.write_text(P4P + P4P[P4P.index("ORT1") : P4P.index("SOURCE")])
    assert "2 orientations" in "\n".join(BrukerImporter().import_results(p4p).notes)
