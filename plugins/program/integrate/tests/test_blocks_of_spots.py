"""Blocks of spots: what they paint, and boxes without pixels."""

from __future__ import annotations

import numpy as np
import pytest
from spindle_program_integrate.blocks import only_boxes
from spindle_program_integrate.image_kernels import painted_parts

from spindle.table import Shoeboxes


def random_boxes(n):
    rng = np.random.default_rng(1)
    low, size = rng.integers(-5, 900, (n, 3)), rng.integers(0, 12, (n, 3))
    return np.stack([low, low + size], axis=2).reshape(n, 6).astype(np.int32)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 1.0])
def test_a_spot_paints_the_smallest_rectangle_around_its_foreground_and_halo(share):
    rng, bbox = np.random.default_rng(2), random_boxes(500)
    size = np.diff(bbox.reshape(-1, 3, 2))[..., 0]
    area = size[:, 0] * size[:, 1] * np.where(rng.random(500) < 0.5, 1, size[:, 2])
    offsets = np.concatenate([[0], np.cumsum(area)]).astype(np.int64)
    inside = ((rng.random(offsets[-1]) < share) * rng.integers(1, 3, offsets[-1])).astype(np.uint8)
    found = painted_parts(bbox, offsets, inside)
    n_painted = 0
    for i, (nx, ny, _) in enumerate(size):
        mask = inside[offsets[i] : offsets[i + 1]].reshape(-1, ny, nx) if nx * ny else np.zeros((1, 0, 0))
        _, y, x = np.nonzero(mask)
        if len(x):
            n_painted += 1
            wanted = np.array([x.min(), x.max() + 1, y.min(), y.max() + 1]) + np.repeat(bbox[i, [0, 2]], 2)
            assert found[i].tolist() == wanted.tolist()
        else:
            assert found[i, 0] >= found[i, 1] and found[i, 2] >= found[i, 3]
    assert n_painted >= (300 if share == 1.0 else 0)


def test_boxes_without_pixels_are_those_of_zeros():
    bbox, panel = random_boxes(50), np.arange(50) % 3
    found, zeros = only_boxes(panel, bbox), Shoeboxes.empty(panel, bbox)
    for name in ("panel", "bbox", "offsets", "data", "mask", "background"):
        one, other = getattr(found, name), getattr(zeros, name)
        assert one.dtype == other.dtype and np.array_equal(one, other)
    assert found.data.strides == (0,) and not found.data.flags.writeable
    assert len(only_boxes(panel[:0], bbox[:0]).data) == 0
