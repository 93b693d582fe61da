"""Chains of directories that lead back or away, widths that are none, and pixels that unpack to gigabytes: each a message, soon."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from spindle_format_tiff import directories

from spindle.contracts.format import FormatOptions
from spindle.errors import FileFormatError
from spindle.images import open_image

OPTIONS = FormatOptions(wavelength=1.0, distance=100.0, pixel_size=(0.1, 0.1))
PIXELS = np.arange(120, dtype="<u2").reshape(10, 12)


def tiff(pages: int = 1, following: int = 0, tags: dict | None = None, data: bytes = PIXELS.tobytes()) -> bytes:
    """A TIFF file of 12 x 10 pixels, written by its specification; ``following`` is what the last directory names as the next."""
    entries = {256: (4, 12), 257: (4, 10), 258: (3, 16), 259: (3, 1), 262: (3, 1), 273: (4, 8), 277: (3, 1), 278: (4, 10),
               279: (4, len(data)), **(tags or {})}  # fmt: skip
    listed = b"".join(struct.pack("<HHII", code, kind, 1, value) for code, (kind, value) in sorted(entries.items()))
    size = 2 + len(listed) + 4
    first = 8 + len(data)
    nexts = [first + size * (k + 1) for k in range(pages - 1)] + [following]
    chain = b"".join(struct.pack("<H", len(entries)) + listed + struct.pack("<I", at) for at in nexts)
    return b"II*\0" + struct.pack("<I", first) + data + chain


def refused(path, content: bytes) -> str:
    path.write_bytes(content)

    def use() -> None:
        reader = open_image(path, options=OPTIONS)
        reader.models(0)
        reader.read(0)

    with pytest.raises(FileFormatError) as caught:
        use()
    return str(caught.value)


def test_images_of_many_directories_are_read_where_they_are(tmp_path, monkeypatch):
    path = tmp_path / "x.tif"
    path.write_bytes(tiff(400))
    reader = open_image(path, options=OPTIONS)
    assert reader.n_images == 400
    import tifffile

    def none(*_):
        raise AssertionError("the chain is followed again for each image")

    monkeypatch.setattr(tifffile.TiffPages, "_seek", none)
    for index in (0, 399, 200):
        np.testing.assert_array_equal(reader.read(index)[0], PIXELS)


def test_images_of_another_size_are_not_counted(tmp_path):
    path, one = tmp_path / "x.tif", tiff(2)
    last = len(one) - 2 - 9 * 12 - 4
    assert struct.unpack_from("<HHII", one, last + 2) == (256, 4, 1, 12)
    path.write_bytes(one[: last + 10] + struct.pack("<I", 6) + one[last + 14 :])
    assert open_image(path, options=OPTIONS).n_images == 1


@pytest.mark.parametrize("pages", [1, 3])
def test_a_chain_that_leads_back_or_away_is_refused(tmp_path, pages):
    path, first = tmp_path / "x.tif", 8 + PIXELS.nbytes
    told = refused(path, tiff(pages, following=first))
    assert (
        f"directory {pages} of the images: expected a last directory, found one that leads back to byte {first}" in told
    )
    for beyond in (5_000, 2**32 - 2):
        told = refused(path, tiff(pages, following=beyond))
        assert f"expected directory {pages} of the images at byte {beyond}" in told and "cut short" in told


def test_more_directories_than_images_of_any_measurement_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(directories, "MOST_DIRECTORIES", 5)
    assert "found more than 5" in refused(tmp_path / "x.tif", tiff(7))


@pytest.mark.parametrize("kind", [1, 2, 5, 7, 10])
def test_a_width_that_is_no_whole_number_is_refused(tmp_path, kind):
    assert "copy the file again" in refused(tmp_path / "x.tif", tiff(tags={256: (kind, 100)}))


def test_pixels_that_unpack_to_more_than_the_image_are_refused_before_they_are_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(directories, "UNSUSPECTED", 1000)
    path, packed = tmp_path / "x.tif", zlib.compress(PIXELS.tobytes())
    path.write_bytes(tiff(tags={259: (3, 8)}, data=packed))
    np.testing.assert_array_equal(open_image(path, options=OPTIONS).read(0)[0], PIXELS)
    bomb = zlib.compress(bytes(1_000_000))
    told = refused(path, tiff(tags={259: (3, 8)}, data=bomb))
    assert "packed pixels at byte 8: expected at most the 240 bytes of the image, found more" in told
