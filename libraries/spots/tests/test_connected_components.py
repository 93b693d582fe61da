"""Connected components of strong pixels, against scipy.ndimage.label and against themselves in other portions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import generate_binary_structure, label

from spindle_lib_spots import connected_components
from spindle_lib_spots.connected_components import ComponentStream, strong_list


def random_volume(seed, shape=(40, 25, 30)):
    """Strong pixels in clumps, with empty images between them."""
    rng = np.random.default_rng(seed)
    volume = rng.random(shape) < rng.uniform(0.02, 0.45)
    volume[rng.integers(0, shape[0], 3)] = False
    return volume


def stream(volume, is_linked, skip=()):
    """All components of a volume by way of a stream: a list of sets of pixels, in the order of emission."""
    found = []
    source = ComponentStream(volume.shape[2], is_linked)
    parts = []
    for z, image in enumerate(volume):
        if z in skip:
            continue
        index = np.flatnonzero(image).astype(np.int32)
        parts.append(source.add(z + 7, index, (index + 1000 * z).astype(np.float32)))
    parts.append(source.finish())
    for c in parts:
        if c is None:
            continue
        frame = np.repeat(c.frames, np.diff(c.starts))
        for k in range(len(c)):
            mine = c.label == k
            pixels = {(int(z) - 7, int(i)) for z, i in zip(frame[mine], c.index[mine], strict=True)}
            assert len(pixels) == c.size[k] == mine.sum()
            assert min(pixels) == (c.first[k, 0] - 7, c.first[k, 1])
            z, y, x = np.array([(z, *divmod(i, volume.shape[2])) for z, i in pixels]).T
            assert c.bbox[k].tolist() == [x.min(), x.max() + 1, y.min(), y.max() + 1, z.min() + 7, z.max() + 8]
            assert all(
                v == i + 1000 * (f - 7) for v, i, f in zip(c.value[mine], c.index[mine], frame[mine], strict=True)
            )
            found.append(frozenset(pixels))
    return found


def by_scipy(volume, structure):
    labels, n = label(volume, structure)
    width = volume.shape[2]
    found = [set() for _ in range(n)]
    for z, y, x in np.argwhere(volume):
        found[labels[z, y, x] - 1].add((int(z), int(y * width + x)))
    return {frozenset(f) for f in found}


@pytest.mark.parametrize("images_per_block", [1, 3, 16, 100])
@pytest.mark.parametrize("seed", range(3))
def test_partition_is_that_of_scipy(seed, images_per_block, monkeypatch):
    monkeypatch.setattr(connected_components, "_IMAGES_PER_BLOCK", images_per_block)
    volume = random_volume(seed)
    found = stream(volume, True)
    assert len(found) == len(set(found))
    assert set(found) == by_scipy(volume, generate_binary_structure(3, 1))


def test_without_links_each_image_stands_alone():
    volume = random_volume(11)
    flat = np.zeros((3, 3, 3), np.bool_)
    flat[1] = generate_binary_structure(2, 1)
    assert set(stream(volume, False)) == by_scipy(volume, flat)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 100_000))
def test_small_volumes_of_any_density(seed):
    rng = np.random.default_rng(seed)
    volume = rng.random(rng.integers(1, 8, 3)) < rng.random()
    assert set(stream(volume, True)) == by_scipy(volume, generate_binary_structure(3, 1))


def test_last_pixel_of_a_row_does_not_touch_the_next_row():
    volume = np.zeros((1, 2, 4), np.bool_)
    volume[0, 0, 3] = volume[0, 1, 0] = True
    assert len(stream(volume, True)) == 2


def test_a_missing_image_cuts_spots():
    volume = np.zeros((3, 3, 3), np.bool_)
    volume[:, 1, 1] = True
    assert len(stream(volume, True)) == 1
    assert len(stream(volume, True, skip=(1,))) == 2


def test_components_that_have_ended_are_let_go():
    source = ComponentStream(10, True)
    pixel = np.array([3], np.int32)
    for z in range(100):
        source.add(z, pixel + z % 2, np.ones(1, np.float32))
    assert source._n_pixels <= 2 * connected_components._IMAGES_PER_BLOCK


@pytest.mark.parametrize("n", [1, 7, 8, 9, 100, 1003])
def test_list_of_marked_pixels_is_that_of_numpy(n):
    marks = (np.random.default_rng(n).random(n) < 0.2).astype(np.uint8)
    index = np.empty(n, np.int32)
    words = marks[: n // 8 * 8].view(np.uint64)
    count = strong_list(words, marks, index)
    assert np.array_equal(index[:count], np.flatnonzero(marks))
    assert strong_list(words, marks, index[:0]) == marks.sum()
