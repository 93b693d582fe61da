"""Merlin's files, written by the test."""

from __future__ import annotations

import numpy as np
import pytest

from spindle.contracts.format import FormatOptions
from spindle.errors import FileFormatError
from spindle.images import open_image
from spindle_lib_readers.testing.electrons import write_mib

GIVEN = FormatOptions(wavelength=0.0251, distance=600.0)
RNG = np.random.default_rng(1)


def image(reader, index):
    """The panels of an image in their places of the file's image."""
    panels = list(reader.models(index).detector)
    whole = np.zeros(
        tuple(max(p.raw_image_offset[1 - k] + p.image_size[1 - k] for p in panels) for k in (0, 1)), np.int64
    )
    for panel, pixels in zip(panels, reader.read(index), strict=True):
        fast, slow = panel.raw_image_offset
        whole[slow : slow + pixels.shape[0], fast : fast + pixels.shape[1]] = pixels
    return whole


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("bits", [1, 6, 12, 24])
def test_one_chip(tmp_path, bits, raw):
    stack = RNG.integers(0, 2**bits, size=(3, 256, 256))
    reader = open_image(write_mib(tmp_path / "a.mib", stack, bits, raw=raw), options=GIVEN)
    assert reader.format == "mib" and reader.n_images == 3
    for i in (2, 0, 1):
        assert np.array_equal(reader.read(i)[0], stack[i])
    assert reader.models().detector[0].trusted_range == (0, max(2**bits - 2, 1))


@pytest.mark.parametrize(("bits", "raw"), [(1, True), (6, True), (12, True), (12, False), (24, False)])
def test_four_chips(tmp_path, bits, raw):
    stack = RNG.integers(0, 2**bits, size=(2, 512, 512))
    reader = open_image(write_mib(tmp_path / "a.mib", stack, bits, "2x2", raw), options=GIVEN)
    for i in (1, 0):
        assert np.array_equal(image(reader, i), stack[i])


def test_the_gap_between_chips_is_in_the_geometry(tmp_path):
    path = write_mib(tmp_path / "a.mib", np.zeros((1, 512, 512), int), 12, "2x2")
    panels = list(open_image(path, options=GIVEN).models().detector)
    assert [p.raw_image_offset for p in panels] == [(0, 0), (256, 0), (0, 256), (256, 256)]
    # 514 x 514 pixels of 55 um with the gap of two, the beam in the middle.
    assert np.allclose(panels[0].origin, [-257 * 0.055, 257 * 0.055, -600])
    assert np.allclose(panels[3].origin, [1 * 0.055, -1 * 0.055, -600])
    assert panels[0].mask == ((255, 0, 256, 256), (0, 255, 256, 256))
    assert panels[3].mask == ((0, 0, 1, 256), (0, 0, 256, 1))


def test_filled_gaps_are_one_panel_with_the_gap_masked(tmp_path):
    path = write_mib(tmp_path / "a.mib", np.zeros((1, 514, 514), int), 12, "2x2G")
    (panel,) = open_image(path, options=GIVEN).models().detector
    assert np.allclose(panel.origin, [-257 * 0.055, 257 * 0.055, -600])
    assert panel.mask == ((255, 0, 259, 514), (0, 255, 514, 259))


def test_a_row_of_chips(tmp_path):
    stack = RNG.integers(0, 4096, size=(1, 256, 768))
    reader = open_image(write_mib(tmp_path / "a.mib", stack, 12, "Nx1"), options=GIVEN)
    assert np.array_equal(image(reader, 0), stack[0])
    assert [p.raw_image_offset for p in reader.models().detector] == [(0, 0), (256, 0), (512, 0)]


def test_header(tmp_path):
    models = open_image(write_mib(tmp_path / "a.mib", np.zeros((4, 64, 256), int)), options=GIVEN).models(3)
    assert models.exposure_time == pytest.approx(1e-3) and models.scan.is_still
    assert models.epoch == 1618494243  # 2021-04-15T13:44:03Z
    assert models.beam.probe == "electron" and models.detector[0].image_size == (256, 64)


def test_x_rays_are_told_from_electrons_by_the_wavelength(tmp_path):
    path = write_mib(tmp_path / "a.mib", np.zeros((1, 256, 256), int))
    assert open_image(path, options=FormatOptions(wavelength=0.7, distance=100.0)).models().beam.probe == "x-ray"


def test_a_short_recording_is_told_by_the_hdr_file(tmp_path):
    path = write_mib(tmp_path / "a.mib", np.zeros((2, 256, 256), int))
    path.with_suffix(".hdr").write_text("HDR,\t\nFrames in Acquisition (Number):\t9\nEnd\t\n")
    assert any("9, the .mib file holds 2" in note for note in open_image(path, options=GIVEN).models().notes)


def test_old_raw_files_take_the_bits_of_the_hdr_file(tmp_path):
    stack = RNG.integers(0, 64, size=(2, 256, 256))
    path = write_mib(tmp_path / "a.mib", stack, 6, raw=True, has_bits=False)
    with pytest.raises(FileFormatError, match="bits of the counters: expected 1, 6, 12 or 24"):
        open_image(path, options=GIVEN).models()
    path.with_suffix(".hdr").write_text("HDR,\t\nCounter Depth (number):\t6\nEnd\t\n")
    assert np.array_equal(open_image(path, options=GIVEN).read(1)[0], stack[1])


@pytest.mark.parametrize(("bits", "layout", "shape"), [(24, "2x2", (512, 512)), (12, "Nx1", (256, 512))])
def test_raw_pixels_of_other_assemblies_are_refused(tmp_path, bits, layout, shape):
    path = write_mib(tmp_path / "a.mib", np.zeros((1, *shape), int), bits, layout, raw=True)
    with pytest.raises(FileFormatError, match="save them as U08, U16 or U32"):
        open_image(path, options=GIVEN).read()


def test_wavelength_and_distance_have_to_be_given(tmp_path):
    path = write_mib(tmp_path / "a.mib", np.zeros((1, 256, 256), int))
    for options, item in (
        (FormatOptions(), "beam.wavelength="),
        (FormatOptions(wavelength=0.0251), "detector.distance="),
    ):
        with pytest.raises(FileFormatError, match=rf"a\.mib.*{item}"):
            open_image(path, options=options).models()


def test_a_short_file_says_where_its_whole_images_end(tmp_path):
    path = write_mib(tmp_path / "a.mib", np.zeros((3, 256, 256), int))
    path.write_bytes(path.read_bytes()[:-1])
    pitch = 384 + 2 * 256 * 256
    found = rf"a\.mib: end of the file: expected.*found {3 * pitch - 1} bytes"
    with pytest.raises(FileFormatError, match=rf"{found}.*-s {2 * pitch}"):
        assert open_image(path, options=GIVEN).n_images
    with pytest.raises(FileFormatError, match="cut short"):
        open_image(path, options=GIVEN).read(2)
    path.write_bytes(path.read_bytes()[: pitch - 1])
    with pytest.raises(FileFormatError, match=rf"expected {pitch} bytes.*found {pitch - 1}"):
        open_image(path, options=GIVEN).read(0)
