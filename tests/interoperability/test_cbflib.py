"""Pixels that CBFlib compressed in each of its ways. Skipped without DIALS, which brings CBFlib's Python module."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from spindle_format_cbf.binary import find_binary
from spindle_format_cbf.decoding import check_readable, decode

from spindle.testing.dials import dials_python

# Run by a Python that has pycbf: writes the image in arguments 2 and 3 with all compressions.
WRITE = """
import sys
import numpy as np
import pycbf

folder, element = sys.argv[1:]
image = np.load(folder + "/image.npy")
packed, packed2, flat, apart = (getattr(pycbf, f"CBF_{n}") for n in ("PACKED", "PACKED_V2", "FLAT_IMAGE", "UNCORRELATED_SECTIONS"))
kinds = {"packed": packed, "packed2": packed2, "flat": packed | flat, "flat2": packed2 | flat, "apart": packed | apart,
         "apart2": packed2 | apart, "byte": pycbf.CBF_BYTE_OFFSET, "canonical": pycbf.CBF_CANONICAL, "none": pycbf.CBF_NONE,
         "nibble": 0x00A0}
for name, kind in kinds.items():
    cbf = pycbf.cbf_handle_struct()
    cbf.new_datablock(b"image")
    cbf.new_category(b"array_data")
    cbf.new_column(b"data")
    sizes = image.shape[::-1]
    signed = int(image.dtype.kind == "i")
    cbf.set_integerarray_wdims_fs(kind, 1, image.tobytes(), image.itemsize, signed, image.size, b"little_endian", *sizes, 0)
    cbf.write_widefile(f"{folder}/{name}.cbf".encode(), pycbf.CBF, pycbf.MIME_HEADERS | pycbf.MSG_DIGEST | pycbf.PAD_4K, 0)
"""


@pytest.mark.parametrize("dtype", ["<i4", "<u2", "<u1"])
def test_every_compression_of_cbflib(tmp_path, dtype):
    rng = np.random.default_rng(8)
    image = rng.poisson(3.0, (3, 17, 41))
    image[rng.random(image.shape) < 0.03] = 250
    if dtype != "<u1":
        image[rng.random(image.shape) < 0.02] = 60000
    if dtype == "<i4":
        # Not -2**31: CBFlib writes byte-offset steps of just that size as the mark of longer ones.
        image[rng.random(image.shape) < 0.01] = -(2**30)
        image[rng.random(image.shape) < 0.01] = 2**31 - 1
    np.save(tmp_path / "image.npy", image.astype(dtype))
    dials_python("-c", WRITE, tmp_path, dtype, cwd=tmp_path)
    files = sorted(tmp_path.glob("*.cbf"))
    assert len(files) == 10
    for path in files:
        header = find_binary(path.read_bytes(), path)
        check_readable(header, path)
        out = np.empty(image.shape, header.out_type)
        decode(np.fromfile(path, np.int8), header, out, Path(path), True)
        assert np.array_equal(out, image), path.name
