"""EDF images; pixels of the real file compared with fabio."""

from __future__ import annotations

import bz2
import gzip
import zlib

import numpy as np
import pytest

from spindle.contracts.format import FormatOptions
from spindle.errors import FileFormatError
from spindle.images import open_image
from spindle.testing import shared_data
from spindle_lib_readers.testing.images import write_edf
from spindle_lib_readers.testing.mini_cbf import byte_offset

PIXELS = np.arange(12, dtype=np.uint16).reshape(3, 4)
GIVEN = FormatOptions(wavelength=1.0, distance=100.0, pixel_size=(0.05, 0.06))
HEADER = {
    "PSize_1": "1e-4", "PSize_2": "2e-4", "Center_1": 1.5, "Center_2": 2.0, "SampleDistance": "0.2", "WaveLength": "9e-11",
    "ExposureTime": "0.5 s",
}  # fmt: skip


@pytest.mark.parametrize("kind", ["u2", "i4", "f4"])
def test_header_and_pixels(tmp_path, kind):
    reader = open_image(write_edf(tmp_path / "a.edf.gz", PIXELS.astype(kind), **HEADER))
    models = reader.models()
    panel = models.detector[0]
    assert reader.format == "edf" and panel.image_size == (4, 3)
    assert np.allclose(panel.origin, [-0.15, 0.4, -200]) and np.allclose(panel.pixel_size, [0.1, 0.2])
    assert models.beam.wavelength == pytest.approx(0.9) and models.exposure_time == 0.5
    assert np.array_equal(reader.read()[0], PIXELS)
    assert reader.read()[0].dtype == (np.float32 if kind == "f4" else np.int32)


def test_many_images_in_one_file(tmp_path):
    reader = open_image(write_edf(tmp_path / "a.edf", PIXELS, frames=3, **HEADER))
    assert reader.n_images == 3
    for i in (2, 0, 1, 2):
        assert np.array_equal(reader.read(i)[0], PIXELS + i)
    assert reader.models(2).detector is reader.models(0).detector
    with pytest.raises(IndexError):
        reader.read(3)


def test_what_is_missing_is_named_and_can_be_given(tmp_path):
    path = write_edf(tmp_path / "a.edf", PIXELS)
    with pytest.raises(FileFormatError, match=r"a\.edf.*WaveLength.*geometry\.beam\.wavelength="):
        open_image(path).models()
    panel = open_image(path, options=GIVEN).models().detector[0]
    assert np.allclose(panel.pixel_size, [0.05, 0.06]) and panel.distance == pytest.approx(100)


def compressed(path, packed, name):
    """An EDF file of packed images."""
    content = b""
    for data in packed:
        items = {"ByteOrder": "LowByteFirst", "DataType": "SignedInteger", "Dim_1": 4, "Dim_2": 3, "Size": len(data),
                 "Compression": name, **HEADER}  # fmt: skip
        content += ("{\n" + "".join(f"{k} = {v} ;\n" for k, v in items.items())).encode().ljust(1022) + b"}\n" + data
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("GzipCompression", lambda p: gzip.compress(p.tobytes())),
        ("ZCompression", lambda p: zlib.compress(p.tobytes())),
        ("Bzip2Compression", lambda p: bz2.compress(p.tobytes())),
        ("ByteOffsetCompression", byte_offset),
    ],
)
def test_compressed_blocks(tmp_path, name, pack):
    images = [PIXELS.astype("<i4") - 5, PIXELS.astype("<i4") * 70000]
    packed = [pack(image) for image in images]
    reader = open_image(compressed(tmp_path / "a_0001.edf", packed, name))
    assert reader.n_images == 2
    for i in (1, 0):
        assert np.array_equal(reader.read(i)[0], images[i])
    with pytest.raises(FileFormatError, match=r"b_0001\.edf.*expected 48 bytes.*corrupt"):
        open_image(compressed(tmp_path / "b_0001.edf", [packed[0][: len(packed[0]) // 2]], name)).read()
    short = compressed(tmp_path / "c_0001.edf", packed[:1], name)
    short.write_bytes(short.read_bytes()[:-4])
    with pytest.raises(FileFormatError, match=r"c_0001\.edf.*cut short"):
        open_image(short).read()


def test_unknown_compression_is_named(tmp_path):
    with pytest.raises(FileFormatError, match=r"a_0001\.edf.*Compression.*found lz9"):
        open_image(compressed(tmp_path / "a_0001.edf", [b"1234"], "lz9")).read()


def test_frelon():
    path = shared_data("images") / "F2K_Seb_Lyso0675.edf.bz2"
    reader = open_image(path, options=GIVEN)
    assert reader.models().epoch == 1107142684  # date -u -d '2005-01-31 03:38:04' +%s
    content = bz2.decompress(path.read_bytes())
    assert reader.n_images == 1
    # fabio: 2048 x 2048 unsigned short after a header of 3072 bytes, from 982 to 17467.
    expected = np.frombuffer(content[-2048 * 2048 * 2 :], "<u2").reshape(2048, 2048)
    image = reader.read()[0]
    assert np.array_equal(image, expected) and (image.min(), image.max()) == (982, 17467)
