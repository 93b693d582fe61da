"""Volumes whose header announces what is not there, or more than is read."""

from __future__ import annotations

import os
import struct

import numpy as np
import pytest

from spindle.errors import FileFormatError
from spindle_lib_reciprocal_view.volumes import MOST_VOXELS, sections_of


def volume(size, order="<", mode=2):
    """The header of MRC2014, and voxels as far as they fit into a small file."""
    header = bytearray(1024)
    struct.pack_into(f"{order}4i", header, 0, *size, mode)
    struct.pack_into(f"{order}3i", header, 28, *size)
    struct.pack_into(f"{order}6f", header, 40, 100.0, 100.0, 100.0, 90.0, 90.0, 90.0)
    struct.pack_into(f"{order}3i", header, 64, 1, 2, 3)
    struct.pack_into(f"{order}i", header, 88, 1)
    header[208:216] = b"MAP \x44\x44\0\0" if order == "<" else b"MAP \x11\x11\0\0"
    return bytes(header) + np.ones(64, f"{order}f4").tobytes()


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_whole_one_is_read(tmp_path, order):
    (tmp_path / "a.mrc").write_bytes(volume((4, 4, 4), order))
    assert len(sections_of(tmp_path / "a.mrc")) == 3


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("size", [(4, 4, 5), (0, 4, 4), (-4, -4, 4), (2**31 - 1,) * 3, (2**16, 2**16, 1)], ids=str)
def test_what_is_not_there_is_not_read(tmp_path, size, order):
    (tmp_path / "a.mrc").write_bytes(volume(size, order))
    with pytest.raises(FileFormatError, match=rf"a\.mrc: {size[0]} x {size[1]} x {size[2]} voxels"):
        sections_of(tmp_path / "a.mrc")


def test_a_hole_is_no_voxels_and_a_stump_no_header(tmp_path):
    path = tmp_path / "a.mrc"
    path.write_bytes(volume((2048, 1024, 1024)))
    os.truncate(path, 1024 + 4 * 2048 * 1024**2)
    with pytest.raises(FileFormatError, match=f"at most {MOST_VOXELS}"):
        sections_of(path)
    path.write_bytes(b"MAP ")
    with pytest.raises(FileFormatError, match="it has 4 bytes"):
        sections_of(path)
