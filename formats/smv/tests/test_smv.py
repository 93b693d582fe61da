"""SMV images: header, dialects, geometry. DIALS's numbers are those of dxtbx 3.12."""

from __future__ import annotations

import numpy as np
import pytest

from spindle.contracts.format import FormatOptions
from spindle.errors import FileFormatError
from spindle.images import open_image
from spindle.testing import shared_data
from spindle_lib_readers.testing.images import write_smv

PIXELS = np.arange(12, dtype=np.int32).reshape(3, 4)


@pytest.mark.parametrize("order", ["little_endian", "big_endian"])
def test_header_and_pixels(tmp_path, order):
    reader = open_image(write_smv(tmp_path / "a_001.img.bz2", PIXELS, BYTE_ORDER=order))
    assert reader.format == "smv"
    models = reader.models()
    panel = models.detector[0]
    assert np.allclose(panel.origin, [-4.5, 3.0, -80.5])  # X of the header runs along the slow pixels
    assert panel.image_size == (4, 3) and np.allclose(panel.pixel_size, 0.1)
    assert models.beam.wavelength == 0.9
    assert models.scan.oscillation_deg == (10.0, 0.5) and models.exposure_time == 2.5
    assert models.epoch == 1210857462  # date -u -d '2008-05-15 13:17:42' +%s
    assert np.array_equal(reader.read()[0], PIXELS)


def test_a_decreasing_angle_turns_the_axis_round(tmp_path):
    models = open_image(write_smv(tmp_path / "a.img", PIXELS, OSC_RANGE=-0.5)).models()
    assert models.scan.oscillation_deg == (-10.0, 0.5)
    assert np.allclose(models.goniometer.rotation_axis, [-1, 0, 0])


def test_no_rotation_is_a_still_with_a_note(tmp_path):
    models = open_image(write_smv(tmp_path / "a.img", PIXELS, OSC_RANGE=0)).models()
    assert models.scan.is_still and "geometry.scan.oscillation" in models.notes[0]


def test_the_pedestal_is_taken_off(tmp_path):
    reader = open_image(write_smv(tmp_path / "a.img", PIXELS, IMAGE_PEDESTAL=5, CCD_IMAGE_SATURATION=60000))
    assert np.array_equal(reader.read()[0], PIXELS - 5)
    assert reader.models().detector[0].trusted_range == (-5, 59994)


@pytest.mark.parametrize(
    ("item", "remedy"), [("WAVELENGTH", "wavelength"), ("DISTANCE", "distance"), ("PIXEL_SIZE", "pixel_size")]
)
def test_what_is_missing_is_named_and_can_be_given(tmp_path, item, remedy):
    path = write_smv(tmp_path / "a.img", PIXELS, **{item: None})
    with pytest.raises(FileFormatError, match=rf"a\.img.*{item}.*{remedy}="):
        open_image(path).models()
    open_image(path, options=FormatOptions(wavelength=1.0, distance=100.0, pixel_size=(0.1, 0.1))).models()


def test_unknown_types_of_pixels_are_named(tmp_path):
    with pytest.raises(FileFormatError, match=r"TYPE=: .*found complex"):
        open_image(write_smv(tmp_path / "a.img", PIXELS, TYPE="complex")).read()


def test_nuclease():
    models = (reader := open_image(shared_data("nuclease") / "snc_newhead_00002.img.bz2")).models()
    assert np.allclose(models.detector[0].origin, [-42.64, 40.02, -57.43])
    assert models.detector[0].image_size == (1024, 1024) and models.beam.wavelength == 0.908
    assert models.scan.oscillation_deg == (1.0, 0.0)
    # DIALS turns the axis round when OSC_RANGE is 0, and indexes 2.1 % of the spots so, 97.9 % about +x.
    assert np.allclose(models.goniometer.rotation_axis, [1, 0, 0])
    assert any("OSC_RANGE=: expected the rotation during the image, found 0" in note for note in models.notes)
    first = open_image(reader.path.with_name("snc_newhead_00001.img.bz2")).read()[0]
    assert first.sum(dtype=np.int64) == 915797304 and first.max() == 65534


def test_timepix_of_four_panels():
    reader = open_image(shared_data("images") / "TIMEPIX_SU_512-stdgoni_0001.img.bz2")
    models = reader.models()
    origins = [[-13.475, 13.145], [0.825, 13.145], [-13.475, -1.155], [0.825, -1.155]]
    assert np.allclose([p.origin[:2] for p in models.detector], origins)
    assert [p.raw_image_offset for p in models.detector] == [(1, 1), (257, 1), (1, 257), (257, 257)]
    assert {p.image_size for p in models.detector} == {(254, 254)}
    assert [int(p.sum()) for p in reader.read()[:3]] == [1441672, 659071, 614669]
    assert models.scan.oscillation_deg == (65.4, 0.23) and models.beam.probe == "electron"
    assert np.allclose(models.goniometer.rotation_axis, [-0.7548637593860367, -0.6558816240493246, 0])


def test_timepix_of_one_panel():
    reader = open_image(shared_data("images") / "TIMEPIX_SU_516-stdgoni_0001.img.bz2")
    models = reader.models()
    assert np.allclose(models.detector[0].origin, [-13.5377, 13.21925, -531.85])
    assert reader.read()[0].sum() == 3613798
    assert np.allclose(models.goniometer.rotation_axis, [0.7825634081905295, -0.6225708892658111, 0])


def test_simulated_image():
    reader = open_image(shared_data("images") / "simtbx_FormatSMVJHSim_001.img.bz2")
    models = reader.models()
    assert np.allclose(models.detector[0].origin, [-28.16, 28.16, -1590])  # DIALS_ORIGIN of the header
    assert models.beam.wavelength == 0.02508 and models.beam.polarization_fraction == 0.5
    assert reader.read()[0].sum() == 2691223
