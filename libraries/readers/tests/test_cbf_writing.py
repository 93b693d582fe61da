"""CBF files that are written, read back by the definition of their compression and by the format."""

from __future__ import annotations

import numpy as np

from spindle.images import open_image
from spindle_lib_readers.byte_offset import encode_byte_offset
from spindle_lib_readers.cbf_writing import write_cbf
from spindle_lib_readers.testing.mini_cbf import byte_offset, mini_cbf_header


def decode(data, n):
    """Byte offset as its definition has it: small steps in 1, 3, 7 or 15 bytes."""
    values, at, value = [], 0, 0
    for _ in range(n):
        for size in (1, 2, 4, 8):
            step = int.from_bytes(data[at : at + size], "little", signed=True)
            at += size
            if step != -(1 << (8 * size - 1)):
                break
        value += step
        values.append(value)
    assert at == len(data)
    return np.array(values)


def test_byte_offset_survives_all_sizes_of_steps():
    steps = np.array([0, 1, -127, 127, -128, 128, 32767, -32767, 32768, -32768, 1 << 20, -(1 << 20), -1, -2])
    image = np.concatenate([np.cumsum(steps), steps, steps[::-1]]).astype(np.int32).reshape(3, -1)
    assert np.array_equal(decode(encode_byte_offset(image), image.size), image.ravel())
    extreme = np.array([[0, 2**31 - 1, -(2**31), 2**31 - 1, -1, 5]], np.int32)
    assert np.array_equal(decode(encode_byte_offset(extreme), 6), extreme.ravel())
    assert encode_byte_offset(extreme) == byte_offset(extreme)


def test_written_files_are_read(tmp_path):
    image = np.random.default_rng(1).poisson(3.0, (40, 50)).astype(np.int32)
    image[3, 4], image[5, 6] = 2**31 - 1, -2
    text = "###CBF: VERSION 1.5\n\ndata_image\n\n_array_data.header_contents\n;\n"
    size = write_cbf(tmp_path / "w_0001.cbf", text + "\n".join(mini_cbf_header()) + "\n;\n", image[:, ::1])
    assert (tmp_path / "w_0001.cbf").stat().st_size == size
    reader = open_image(tmp_path / "w_0001.cbf")
    assert np.array_equal(reader.read()[0], image)
    assert reader.models().scan.oscillation_deg == (0.0, 0.5)
    assert [p.name for p in tmp_path.iterdir()] == ["w_0001.cbf"]
