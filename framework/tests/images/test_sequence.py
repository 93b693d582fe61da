"""Reading the images of an experiment one by one."""

from __future__ import annotations

import os

import numpy as np
import pytest

import spindle
from spindle.images import ImageSequence, open_image, opening
from spindle.plugins import registry
from spindle_lib_readers.testing.nexus import change, write_nxmx


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


def test_stills_of_one_file_share_its_reader_whatever_their_wavelengths(tmp_path):
    path = write_nxmx(tmp_path / "x.h5", np.zeros((3, 5, 6), np.uint16), np.zeros(3))
    change(path, entry__instrument__beam__incident_wavelength=np.array([1.0, 1.1, 1.2]))
    experiments = spindle.run("import", files=[path]).experiments
    assert [e.beam.wavelength for e in experiments] == [1.0, 1.1, 1.2]
    assert len(experiments.unique("imageset")) == 1
    assert len({id(ImageSequence(e).reader(0)[0]) for e in experiments}) == 1


@pytest.mark.parametrize(("likely", "n_asked"), [("nexus", 1), ("cbf", None), ("gone", None), (None, None)])
def test_a_format_that_read_another_image_is_asked_first_and_believed(tmp_path, monkeypatch, likely, n_asked):
    path = write_nxmx(tmp_path / "one.nxs", np.zeros((1, 5, 6), np.uint16))
    asked, ask = [], opening._asked
    monkeypatch.setattr(opening, "_asked", lambda name, *more: asked.append(name) or ask(name, *more))
    assert open_image(path, likely=likely).format == "nexus"
    n_formats = len(registry().names("format"))
    assert len(asked) == (n_asked or n_formats + (likely == "cbf"))
