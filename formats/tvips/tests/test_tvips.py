"""TVIPS series, written by the test."""

from __future__ import annotations

import numpy as np
import pytest

from spindle.contracts.format import FormatOptions
from spindle.errors import FileFormatError
from spindle.images import open_image
from spindle_lib_readers.testing.electrons import write_tvips

STACK = np.random.default_rng(1).integers(0, 256, size=(7, 30, 40)).astype(np.uint16)
GIVEN = FormatOptions(distance=1000.0)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("kind", ["u1", "u2"])
@pytest.mark.parametrize("per_file", [None, 3])
def test_versions_and_series_of_files(tmp_path, version, kind, per_file):
    stack = STACK.astype(kind)
    reader = open_image(write_tvips(tmp_path / "a_000.tvips", stack, None, per_file, version), options=GIVEN)
    assert reader.format == "tvips" and reader.n_images == 7
    for i in (6, 2, 0, 3, 5, 1, 4):
        assert np.array_equal(reader.read(i)[0], stack[i])


def test_header(tmp_path):
    models = open_image(write_tvips(tmp_path / "a_000.tvips", STACK, binning=2), options=GIVEN).models(1)
    assert models.beam.wavelength == pytest.approx(0.025079, abs=1e-6) and models.beam.probe == "electron"
    assert np.allclose(models.detector[0].pixel_size, 0.031) and models.detector[0].distance == 1000
    assert models.epoch == 1700000001.25 and models.scan.is_still
    assert any("binning of 2" in note for note in models.notes)


@pytest.mark.parametrize(("start", "step", "axis"), [(-30, 0.5, -1), (30, -0.5, 1)])
def test_a_steady_rotation_of_the_stage_is_a_sweep(tmp_path, start, step, axis):
    alpha = start + step * np.arange(7) + np.random.default_rng(2).uniform(-0.02, 0.02, 7)
    reader = open_image(write_tvips(tmp_path / "a_000.tvips", STACK, alpha, 3), options=GIVEN)
    scans = [reader.models(i).scan.oscillation_deg for i in range(7)]
    assert np.allclose(scans, [(-30 + 0.5 * i, 0.5) for i in range(7)], atol=0.03)
    assert reader.models().goniometer.rotation_axis[1] == axis


def test_an_uneven_stage_gives_stills_and_says_so(tmp_path):
    reader = open_image(write_tvips(tmp_path / "a_000.tvips", STACK, np.array([0, 1, 2, 9, 9, 10, 11])), options=GIVEN)
    assert [reader.models(i).scan.oscillation_deg for i in (0, 3)] == [(0, 0), (9, 0)]
    assert any("not evenly" in note for note in reader.models().notes)


def test_what_the_header_lacks_has_to_be_given(tmp_path):
    path = write_tvips(tmp_path / "a_000.tvips", STACK, pixel_nm=1, kilovolt=0)
    for options, item in (
        (FormatOptions(), "geometry.beam.wavelength="),
        (FormatOptions(wavelength=0.0251), "pixel size of 1 nm.*geometry.detector.panel.pixel_size="),
        (FormatOptions(wavelength=0.0251, pixel_size=(0.1, 0.1)), "camera length.*geometry.detector.distance="),
    ):
        with pytest.raises(FileFormatError, match=rf"a_000\.tvips.*{item}"):
            open_image(path, options=options).models()


def test_a_continuation_names_the_first_file(tmp_path):
    write_tvips(tmp_path / "a_000.tvips", STACK, per_file=3)
    with pytest.raises(FileFormatError, match=r"a_001\.tvips.*continues a_000\.tvips"):
        open_image(tmp_path / "a_001.tvips")


def test_a_missing_file_of_the_series_is_named(tmp_path):
    path = write_tvips(tmp_path / "a_000.tvips", STACK, per_file=3)
    (tmp_path / "a_001.tvips").unlink()
    with pytest.raises(FileFormatError, match=r"a_001\.tvips.*because a_002\.tvips is there"):
        open_image(path, options=GIVEN).models()


def test_a_short_continuation_is_named_with_its_whole_images(tmp_path):
    path = write_tvips(tmp_path / "a_000.tvips", STACK, per_file=3)
    second = tmp_path / "a_001.tvips"
    second.write_bytes(second.read_bytes()[:-1])
    pitch = 108 + STACK[0].nbytes
    with pytest.raises(
        FileFormatError, match=rf"a_001\.tvips: end of the file: expected.*found {3 * pitch - 1}.*-s {2 * pitch}"
    ):
        open_image(path, options=GIVEN).read()
