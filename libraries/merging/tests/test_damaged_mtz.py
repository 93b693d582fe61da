"""Unmerged MTZ files whose M/ISYM names what is not there."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest

from spindle.errors import UserError
from spindle_lib_merging.intensity_files import read_intensities
from spindle_lib_merging.unmerged import _read_mtz


@pytest.mark.parametrize("read", [lambda p: read_intensities(p, "reference"), lambda p: _read_mtz(p, None, "labels")])
@pytest.mark.parametrize("isym", [1, 3, 253])
def test_symmetry_operations_that_are_not_there_are_a_message(tmp_path, read, isym):
    mtz = gemmi.Mtz(with_base=True)
    mtz.spacegroup = gemmi.SpaceGroup("P 1")
    mtz.set_cell_for_all(gemmi.UnitCell(10, 11, 12, 90, 90, 90))
    mtz.add_dataset("x")
    for label, kind in (("M/ISYM", "Y"), ("BATCH", "B"), ("I", "J"), ("SIGI", "Q")):
        mtz.add_column(label, kind)
    mtz.set_data(np.array([[1, 2, 3, isym, np.nan, 9, 1]], dtype=np.float32))
    path = tmp_path / "unmerged.mtz"
    mtz.write_to_file(str(path))
    if isym == 1:
        assert read(path) is not None
    else:
        with pytest.raises(UserError, match=r"unmerged\.mtz.*M/ISYM"):
            read(path)
