"""The importer passes the contract of its slot; an exported matrix comes back."""

from __future__ import annotations

import numpy as np
import pytest

import spindle
from spindle.errors import FileFormatError
from spindle.testing.exporter import integrated_data
from spindle.testing.importer import ImporterContract


@pytest.fixture
def matrix(tmp_path):
    files = spindle.run("export", integrated_data()[0], None, format="mosflm").files
    files["mosflm/index.mat"](tmp_path / "index.mat")
    return tmp_path / "index.mat"


class TestMosflmImporter(ImporterContract):
    name = "mosflm"

    @pytest.fixture
    def result_file(self, matrix):
        return matrix


def test_cell_orientation_and_wavelength_come_back(matrix):
    """Angles between reciprocal vectors, beam and axis are those that the matrix was made from."""
    experiments, _ = integrated_data()
    old = experiments[0]
    done = spindle.run("import", files=[matrix], **{"importer.name": "mosflm", "importer.mosflm.space_group": "P4"})
    new = done.experiments[0]
    assert new.beam.wavelength == pytest.approx(1.0, abs=1e-5) and new.crystal.space_group.hm == "P 4"
    np.testing.assert_allclose(new.crystal.cell, old.crystal.cell, rtol=1e-5)
    for a, b in ((old.beam.s0, new.beam.s0), (old.goniometer.axis_lab, new.goniometer.axis_lab)):
        np.testing.assert_allclose(a @ old.crystal.A, b @ new.crystal.A, atol=1e-6)


def test_a_left_handed_matrix_is_refused(matrix):
    lines = matrix.read_text().splitlines()
    lines[0], lines[1] = lines[1], lines[0]
    matrix.write_text("\n".join(lines) + "\n")
    with pytest.raises(FileFormatError, match="no crystal"):
        spindle.run("import", files=[matrix])
