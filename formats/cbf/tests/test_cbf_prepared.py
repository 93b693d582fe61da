"""Several CBF images read in turn, with their checksums compared side by side."""

from __future__ import annotations

import gzip
import hashlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from spindle_format_cbf.digests import LANES, PADDING, digests

import spindle
from spindle.errors import FileFormatError
from spindle.images import ImageSequence, open_image, read_in_turn
from spindle_lib_readers.testing.mini_cbf import write_mini_cbf


def test_digests_of_all_lengths_are_those_of_hashlib():
    random = np.random.default_rng(1)
    for sizes in ([0, 1, 55, 56, 57, 63, 64, 65], [119, 120, 121, 128], [70000, 3], [1000]):
        messages = np.zeros((LANES, (max(sizes) + PADDING + 63) // 64 * 64), np.int8)
        for row, size in zip(messages, sizes, strict=False):
            row[:size] = random.integers(-128, 128, size)
        expected = [hashlib.md5(row[:n].tobytes()).digest() for row, n in zip(messages, sizes, strict=False)]
        assert digests(messages, sizes) == expected


@pytest.fixture
def series(tmp_path):
    """Ten images with more and more counts, which take more and more bytes, and what is in them."""
    random = np.random.default_rng(2)
    pixels = [random.poisson(1.5**i, (31, 17)).astype(np.int32) for i in range(10)]
    paths = [write_mini_cbf(tmp_path / f"a_{i + 1:04d}.cbf", image) for i, image in enumerate(pixels)]
    return paths, pixels


def spoil(path):
    content = bytearray(path.read_bytes())
    content[content.index(b"\x0c\x1a\x04\xd5") + 9] ^= 1
    path.write_bytes(bytes(content))


def test_images_in_turn_are_those_read_alone_and_a_damaged_one_is_refused_in_its_turn(series):
    paths, pixels = series
    images = ImageSequence(spindle.run("import", files=paths).experiments[0])
    assert images.images_at_once == LANES
    out, found = None, []
    for out in read_in_turn([(images, i) for i in range(10)]):
        found.append(out[0].copy())
    assert all(np.array_equal(a, b) for a, b in zip(found, pixels, strict=True))
    spoil(paths[2])
    paths[4].unlink()
    turns = read_in_turn([(images, i) for i in (5, 2, 4)])
    assert np.array_equal(next(turns)[0], pixels[5])
    with pytest.raises(FileFormatError, match=r"a_0003\.cbf: Content-MD5"):
        next(turns)
    turns = read_in_turn([(images, i) for i in (6, 4, 7)])
    next(turns)
    with pytest.raises(FileFormatError, match=r"a_0005\.cbf: no such file"):
        next(turns)


def test_what_was_prepared_is_used_once_by_the_thread_that_did_it_until_it_prepares_others(series):
    paths, pixels = series
    paths[3].write_bytes(gzip.compress(paths[3].read_bytes()))
    readers = [open_image(path) for path in paths[:6]]
    readers[0].prepare(readers[1:4])
    for path in paths[:3]:  # the bytes are in memory
        path.write_bytes(b"changed")
    with ThreadPoolExecutor(1) as other, pytest.raises(FileFormatError):
        other.submit(readers[1].read).result()
    assert np.array_equal(readers[0].read()[0], pixels[0])
    assert np.array_equal(readers[3].read()[0], pixels[3])
    with pytest.raises(FileFormatError):
        readers[0].read()
    readers[4].prepare(readers[5:])
    with pytest.raises(FileFormatError):
        readers[2].read()
    assert np.array_equal(readers[5].read()[0], pixels[5])
