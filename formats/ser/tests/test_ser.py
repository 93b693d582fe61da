"""Series of TIA, written by the test after C. Boothroyd's description. DIALS's numbers are in tests/interoperability."""

from __future__ import annotations

import numpy as np
import pytest

from spindle.contracts.format import FormatOptions
from spindle.errors import FileFormatError
from spindle.images import open_image
from spindle_lib_readers.testing.electrons import write_emi, write_ser

STACK = np.random.default_rng(1).integers(0, 100, size=(4, 30, 40))
GIVEN = FormatOptions(wavelength=0.0251, distance=1000.0, pixel_size=(0.028, 0.028))


@pytest.mark.parametrize("version", [0x0210, 0x0220])
@pytest.mark.parametrize("kind", ["u1", "u2", "u4", "i1", "i2", "i4", "f4", "f8"])
def test_types_and_versions(tmp_path, version, kind):
    stack = STACK.astype(kind)
    reader = open_image(write_ser(tmp_path / "a_1.ser", stack, version), options=GIVEN)
    assert reader.format == "ser" and reader.n_images == 4
    for i in (2, 0, 3, 1):
        found = reader.read(i)[0]
        assert found.dtype == (np.float32 if kind[0] == "f" else np.int32) and np.array_equal(found, stack[i])


@pytest.mark.parametrize("name", ["a.emi", "a_1.emi"])
def test_the_emi_file_beside_it(tmp_path, name):
    write_emi(tmp_path / name)
    models = open_image(write_ser(tmp_path / "a_1.ser", STACK.astype("i4"))).models(3)
    panel = models.detector[0]
    assert models.beam.wavelength == pytest.approx(0.025079, abs=1e-6) and models.beam.probe == "electron"
    assert np.allclose(panel.pixel_size, 0.028) and panel.gain == 26 and panel.trusted_range == (-1000, 32000)
    # 4e7 1/m per pixel of 0.028 mm: 0.028 / (4e7 * 2.50793e-12) mm; the nominal camera length is 1100 mm.
    assert panel.distance == pytest.approx(279.114, abs=1e-3)
    assert models.scan.oscillation_deg == (-10, 0) and models.exposure_time == 0.5
    assert models.epoch == 1456077075  # Sun Feb 21 17:51:15 2016


def test_without_a_calibration_the_camera_length_is_taken(tmp_path):
    write_emi(tmp_path / "a.emi", CameraNamePath="EF-Falcon", Binning="1")
    panel = open_image(write_ser(tmp_path / "a_1.ser", STACK.astype("i4"), delta=5e-9)).models().detector[0]
    assert panel.distance == 1100 and panel.gain == 1 and np.allclose(panel.pixel_size, 0.014)


def test_what_no_file_says_has_to_be_given(tmp_path):
    path = write_ser(tmp_path / "a_1.ser", STACK.astype("u2"), delta=5e-9)
    for options, item in (
        (FormatOptions(), "geometry.beam.wavelength="),
        (FormatOptions(wavelength=0.0251), "geometry.detector.panel.pixel_size="),
        (FormatOptions(wavelength=0.0251, pixel_size=(0.1, 0.1)), "geometry.detector.distance="),
    ):
        with pytest.raises(FileFormatError, match=rf"a_1\.ser.*emi file, which is not beside it.*{item}"):
            open_image(path, options=options).models()
    models = open_image(path, options=GIVEN).models()
    assert models.detector[0].trusted_range == (0, 65534) and models.detector[0].distance == 1000


def test_a_damaged_emi_file_is_as_none(tmp_path):
    (tmp_path / "a.emi").write_bytes(b"<ObjectInfo><Uuid>1</Uu</ObjectInfo>")
    assert open_image(write_ser(tmp_path / "a_1.ser", STACK.astype("u2")), options=GIVEN).models().scan.is_still


def test_images_that_were_not_written_are_left_out(tmp_path):
    assert open_image(write_ser(tmp_path / "a_1.ser", STACK.astype("u2"), valid=2), options=GIVEN).n_images == 2
    with pytest.raises(FileFormatError, match="ValidNumberElements: expected 1 or more, found 0"):
        open_image(write_ser(tmp_path / "b_1.ser", STACK.astype("u2"), valid=0), options=GIVEN).models()


@pytest.mark.parametrize("short", [1, 30 * 40 * 2, 3 * 30 * 40 * 2])
def test_a_short_file_says_what_is_missing(tmp_path, short):
    path = write_ser(tmp_path / "a_1.ser", STACK.astype("u2"))
    content = path.read_bytes()
    path.write_bytes(content[: -8 - short])  # a tag of 8 bytes follows the last image
    reader = open_image(path, options=GIVEN)
    with pytest.raises(
        FileFormatError, match=rf"a_1\.ser: end of the file: expected.*found {len(content) - 8 - short}"
    ):
        reader.read(3)
    assert np.array_equal(reader.read(0)[0], STACK[0])


@pytest.mark.parametrize(
    ("place", "text", "message"), [(4, b"\x30\x02", "version 0x0230"), (6, b"\x20\x41", "spectra")]
)
def test_other_series_are_refused_with_the_reason(tmp_path, place, text, message):
    path = write_ser(tmp_path / "a_1.ser", STACK.astype("u2"))
    content = bytearray(path.read_bytes())
    content[place : place + 2] = text
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=message):
        open_image(path)
