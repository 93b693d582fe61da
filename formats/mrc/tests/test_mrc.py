"""MRC files, written by the test after MRC2014. DIALS's numbers are in tests/interoperability."""

from __future__ import annotations

import numpy as np
import pytest

from spindle.contracts.format import FormatOptions
from spindle.errors import FileFormatError
from spindle.images import open_image
from spindle_lib_readers.testing.electrons import write_mrc

STACK = np.random.default_rng(1).integers(-100, 100, size=(4, 30, 40))
GIVEN = FormatOptions(wavelength=0.0251, distance=1000.0, pixel_size=(0.014, 0.014))
# 2e7 1/m per pixel of 2 * 14 um at 200 kV: 0.028 mm / (2e7 * 2.50793e-12) = 558.23 mm.
CETA = {
    "ht": 200000.0, "alpha_tilt": -30.0, "pixel_size_x": 2.0e7, "pixel_size_y": 2.0e7, "camera_length": 0.6,
    "integration_time": 0.5, "binning_width": 2, "binning_height": 2, "camera_name": b"BM-Ceta", "tilt_per_image": 0.25,
    "timestamp": 44900.5,
}  # fmt: skip


def angles(reader):
    scans = [reader.models(i).scan for i in range(reader.n_images)]
    return [s.oscillation_deg for s in scans]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["i1", "i2", "u2", "f2", "f4"])
def test_modes_and_byte_orders(tmp_path, kind, order):
    stack = np.abs(STACK).astype(kind)
    reader = open_image(write_mrc(tmp_path / "a.mrc", stack, order), options=GIVEN)
    assert reader.format == "mrc" and reader.n_images == 4
    for i in (2, 0, 3, 1):
        found = reader.read(i)[0]
        assert found.dtype == (np.float32 if kind[0] == "f" else np.int32) and np.array_equal(found, stack[i])


def test_bytes_of_imod_have_no_sign(tmp_path):
    stack = np.full((1, 8, 8), -1, np.int8)
    for flags, expected in ((0, 255), (1, -1)):
        path = write_mrc(tmp_path / "a.mrc", stack, imod_stamp=1146047817, imod_flags=flags)
        assert np.all(open_image(path, options=GIVEN).read()[0] == expected)


@pytest.mark.parametrize("mode", [3, 4, 101])
def test_pixels_that_are_no_plain_numbers_are_refused(tmp_path, mode):
    path = write_mrc(tmp_path / "a.mrc", STACK.astype(np.int16), mode=mode)
    with pytest.raises(FileFormatError, match=rf"a\.mrc: header, mode: expected 0, 1, 2, 6 or 12.*found {mode}"):
        open_image(path, options=GIVEN).models()


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_rotation_with_the_extended_header_of_a_ceta(tmp_path, order):
    reader = open_image(write_mrc(tmp_path / "a.mrc", STACK.astype(np.int16), order, [CETA] * 4))
    models = reader.models(2)
    panel = models.detector[0]
    assert models.beam.wavelength == pytest.approx(0.025079, abs=1e-6) and models.beam.probe == "electron"
    assert np.allclose(panel.pixel_size, 0.028) and panel.distance == pytest.approx(558.23, abs=0.01)
    assert np.allclose(panel.origin[:2], [-20 * 0.028, 15 * 0.028])
    assert panel.gain == 26 and panel.trusted_range == (-1000, 32000)
    assert angles(reader) == [(-30.0 + 0.25 * i, 0.25) for i in range(4)]
    assert np.allclose(models.goniometer.rotation_axis, [0, -1, 0])
    assert models.exposure_time == 0.5
    assert models.epoch == 1670241600  # 44900.5 days since 1899-12-30: 2022-12-05 12:00
    assert np.array_equal(reader.read(3)[0], STACK[3])


def test_a_rotation_backwards_turns_the_axis_round(tmp_path):
    records = [
        CETA | {"alpha_tilt": 30.0 - 0.25 * i, "start_tilt_angle": 30.0, "end_tilt_angle": 29.0} for i in range(4)
    ]
    for path in (
        write_mrc(tmp_path / "a.mrc", STACK.astype(np.int16), fei=records),
        write_mrc(tmp_path / "b.mrc", STACK.astype(np.int16), fei=[records[0]] * 4),
    ):
        reader = open_image(path)
        assert angles(reader) == [(-30.0 + 0.25 * i, 0.25) for i in range(4)]
        assert np.allclose(reader.models().goniometer.rotation_axis, [0, 1, 0])


def test_a_tilt_series_without_a_rotation_per_image(tmp_path):
    records = [CETA | {"alpha_tilt": -60.0 + 2.0 * i} for i in range(4)]
    reader = open_image(write_mrc(tmp_path / "a.mrc", STACK.astype(np.int16), fei=records, kind="FEI1"))
    assert np.allclose(angles(reader), [(-60.0 + 2.0 * i, 2.0) for i in range(4)])
    assert any("2 deg per image" in note for note in reader.models().notes)


def test_stills_at_one_angle(tmp_path):
    reader = open_image(write_mrc(tmp_path / "a.mrc", STACK.astype(np.int16), fei=[CETA] * 4, kind="FEI1"))
    assert angles(reader) == [(-30.0, 0.0)] * 4


def test_fewer_records_than_images_go_on(tmp_path):
    reader = open_image(write_mrc(tmp_path / "a.mrc", STACK.astype(np.int16), fei=[CETA] * 2))
    assert angles(reader) == [(-30.0 + 0.25 * i, 0.25) for i in range(4)]


def test_an_image_calibrated_in_metres_takes_the_camera_length(tmp_path):
    record = CETA | {"pixel_size_x": 5e-9, "pixel_size_y": 5e-9}
    models = open_image(write_mrc(tmp_path / "a.mrc", STACK.astype(np.int16), fei=[record])).models()
    assert models.detector[0].distance == 600
    assert any("5e-09 m" in note for note in models.notes)


def test_junk_in_the_extended_header_is_not_taken(tmp_path):
    record = {"ht": 1e300, "alpha_tilt": float("nan"), "integration_time": -1.0, "pixel_size_x": float("inf")}
    models = open_image(write_mrc(tmp_path / "a.mrc", STACK.astype(np.int16), fei=[record] * 4), options=GIVEN).models()
    assert models.beam.wavelength == 0.0251 and models.detector[0].distance == 1000
    assert models.scan.oscillation_deg == (0, 0) and models.exposure_time == 0


@pytest.mark.parametrize(
    ("options", "item"),
    [
        (FormatOptions(), "beam.wavelength=.*detector.distance=.*panel.pixel_size="),
        (FormatOptions(wavelength=0.0251), "expected the distance and the pixel size"),
        (FormatOptions(wavelength=0.0251, pixel_size=(0.014, 0.014)), "the distance, found none.*detector.distance="),
    ],
)
def test_what_a_plain_header_lacks_has_to_be_given(tmp_path, options, item):
    with pytest.raises(FileFormatError, match=item):
        open_image(write_mrc(tmp_path / "a.mrc", STACK.astype(np.int16)), options=options).models()


def test_images_before_the_end_of_a_short_file_are_read(tmp_path):
    path = write_mrc(tmp_path / "a.mrc", STACK.astype(np.int16))
    path.write_bytes(path.read_bytes()[:-1])
    reader = open_image(path, options=GIVEN)
    assert np.array_equal(reader.read(2)[0], STACK[2])
    for ask in (reader.read, reader.models):
        with pytest.raises(FileFormatError, match=r"a\.mrc: end of the file: expected 10624 bytes.*found 10623"):
            ask(3)


def test_an_extended_header_beyond_the_end_is_an_error(tmp_path):
    path = write_mrc(tmp_path / "a.mrc", STACK.astype(np.int16), fei=[CETA] * 4, nsymbt=10**6)
    with pytest.raises(FileFormatError, match=r"a\.mrc: end of the file: expected"):
        open_image(path).models()


def write_mdoc(path, angles):
    lines = [
        "PixelSpacing = 2.71",
        "Voltage = 200",
        "ImageFile = a.mrc",
        "",
        "[T = SerialEM: Tilt axis angle = 85.4]",
        "",
    ]
    for i, angle in enumerate(angles):
        lines += [f"[ZValue = {i}]", f"TiltAngle = {angle:.4f}", "StagePosition = 1.2 -3.4", "ExposureTime = 0.5", ""]
    path.write_text("\n".join(lines))


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_the_mdoc_file_of_serialem(tmp_path, ending):
    path = write_mrc(tmp_path / f"a.mrc{ending}", STACK.astype(np.int16))
    write_mdoc(tmp_path / "a.mrc.mdoc", 10.0 - 0.5 * np.arange(4))
    reader = open_image(path, options=FormatOptions(distance=1000.0, pixel_size=(0.014, 0.014)))
    models = reader.models(1)
    assert models.beam.wavelength == pytest.approx(0.025079, abs=1e-6) and models.exposure_time == 0.5
    assert np.allclose(angles(reader), [(-10.0 + 0.5 * i, 0.5) for i in range(4)])
    assert np.allclose(models.goniometer.rotation_axis, [0, 1, 0])


@pytest.mark.parametrize(
    "text", ["", "Voltage = x\n[ZValue = 0]\nTiltAngle = \n", "[ZValue = 99999999999]\nTiltAngle = 3\n"]
)
def test_an_mdoc_file_without_sense_is_as_none(tmp_path, text):
    path = write_mrc(tmp_path / "a.mrc", STACK.astype(np.int16))
    (tmp_path / "a.mrc.mdoc").write_text(text)
    reader = open_image(path, options=GIVEN)
    assert angles(reader) == [(0, 0)] * 4 and reader.models().beam.wavelength == 0.0251


def test_a_file_that_is_none_is_told_apart_by_its_name(tmp_path):
    (tmp_path / "a.mrcs").write_bytes(b"x" * 2000)
    with pytest.raises(FileFormatError, match="mrc: no MAP at byte 208"):
        open_image(tmp_path / "a.mrcs")


@pytest.mark.parametrize("voltage", [5e-324, -2e5])
def test_a_voltage_that_cannot_be_is_none(tmp_path, voltage):
    path = write_mrc(tmp_path / "a.mrc", STACK.astype(np.int16), fei=[CETA | {"ht": voltage}] * 4)
    with pytest.raises(FileFormatError, match="wavelength"):
        open_image(path).models(0)
    assert open_image(path, options=GIVEN).models(0).beam.wavelength == GIVEN.wavelength
