"""Reading the images of an experiment one by one."""

from __future__ import annotations

import os

import numpy as np

import spindle
from spindle.images import ImageSequence
from spindle.testing.nexus import write_nxmx


def test_a_file_of_many_images_stays_open_with_its_image_set(tmp_path):
    pixels = np.arange(3 * 60 * 97, dtype=np.uint16).reshape(3, 60, 97)
    path = write_nxmx(tmp_path / "series.nxs", pixels)
    experiment = spindle.run("import", files=[path]).experiments[0]
    first = ImageSequence(experiment)
    reader, frame = first.reader(1)
    assert frame == 1
    assert ImageSequence(experiment).reader(2) == (reader, 2)
    again = spindle.run("import", files=[path]).experiments[0]
    assert ImageSequence(again).reader(0)[0] is not reader
    os.utime(path, ns=(1, 1))  # a file that was written again is opened again
    assert ImageSequence(experiment).reader(2)[0] is not reader
    assert np.array_equal(ImageSequence(experiment).read(2)[0], pixels[2])
