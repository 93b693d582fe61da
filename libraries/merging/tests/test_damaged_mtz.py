"""Unmerged MTZ files whose M/ISYM names what is not there, or whose indices nothing reaches."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest

from spindle.errors import UserError
from spindle_lib_merging.intensity_files import read_intensities
from spindle_lib_merging.unmerged import _read_mtz, read_mtz

READERS = [lambda p: read_intensities(p, "reference"), lambda p: _read_mtz(p, None, "labels")]


def written(folder, h, isym):
    mtz = gemmi.Mtz(with_base=True)
    mtz.spacegroup = gemmi.SpaceGroup("P 1")
    mtz.set_cell_for_all(gemmi.UnitCell(10, 11, 12, 90, 90, 90))
    mtz.add_dataset("x")
    for label, kind in (("M/ISYM", "Y"), ("BATCH", "B"), ("I", "J"), ("SIGI", "Q")):
        mtz.add_column(label, kind)
    mtz.set_data(np.array([[1, 2, 3, isym, 1, 9, 1], [h, 2, 3, isym, 1, 9, 1]], dtype=np.float32))
    path = folder / "unmerged.mtz"
    mtz.write_to_file(str(path))
    return path


@pytest.mark.parametrize("read", [*READERS, read_mtz])
@pytest.mark.parametrize("words", [2**31 - 1, 500_000_000, 0, -5, -1])
@pytest.mark.parametrize("order", ["little", "big"])
def test_a_header_beyond_the_end_is_a_message_before_memory_is_taken(tmp_path, read, words, order):
    """Of 500,000,000 words gemmi takes 1.9 GB for a file of some hundred bytes."""
    path = written(tmp_path, 1, 1)
    content = bytearray(path.read_bytes())
    content[4:8] = words.to_bytes(4, order, signed=True)
    if words == -1:
        content[12:20] = (10**9).to_bytes(8, order)
    content[8:10] = b"\x11\x11" if order == "big" else b"\x44\x41"
    path.write_bytes(bytes(content))
    with pytest.raises(UserError, match=r"unmerged\.mtz: its header is said to begin at byte"):
        read(path)


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("isym", [1, 3, 253])
def test_symmetry_operations_that_are_not_there_are_a_message(tmp_path, read, isym):
    path = written(tmp_path, 1, isym)
    if isym == 1:
        assert read(path) is not None
    else:
        with pytest.raises(UserError, match=r"unmerged\.mtz.*M/ISYM"):
            read(path)


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("h", [500_001, -3e6, 1.6e29, 1.5, np.nan, np.inf])
def test_indices_that_nothing_reaches_are_a_message(tmp_path, read, h):
    with pytest.raises(UserError, match=r"unmerged\.mtz: reflection 2: whole indices within 500000 expected"):
        read(written(tmp_path, h, 1))
