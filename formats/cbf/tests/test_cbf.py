"""miniCBF images: pixels, headers, geometry and errors."""

from __future__ import annotations

import bz2
import gzip
import re

import numpy as np
import pytest
from spindle_format_cbf import CbfFormat
from spindle_format_cbf.header import parse_epoch, parse_mini_header
from spindle_format_cbf.modules import module_layout
from spindle_format_cbf.reader import PIECE

from spindle.contracts.format import FormatOptions
from spindle.errors import FileFormatError
from spindle.images import open_image
from spindle.images.compressed import read_all, read_head
from spindle.testing import shared_data
from spindle_lib_readers.testing.mini_cbf import mini_cbf_header, write_mini_cbf

SMALL = np.arange(12, dtype=np.int32).reshape(3, 4)


# -- reading -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["", ".gz", ".bz2"])
def test_pixels_are_the_same_plain_and_compressed(tmp_path, suffix):
    pixels = np.random.default_rng(0).poisson(3, (50, 70)).astype(np.int32)
    path = write_mini_cbf(tmp_path / f"a_0001.cbf{suffix}", pixels)
    assert np.array_equal(open_image(path).read(0)[0], pixels)


@pytest.mark.parametrize("extra", [0, 1, 300])
def test_images_larger_than_a_piece_are_read_whole(tmp_path, extra):
    rng = np.random.default_rng(extra)
    pixels = rng.integers(0, 300, (900, 800 + extra)).astype(np.int32)
    pixels[rng.random(pixels.shape) < 0.01] = 1_000_000
    path = write_mini_cbf(tmp_path / "a_0001.cbf", pixels)
    assert path.stat().st_size > 2 * PIECE
    reader = open_image(path)
    assert np.array_equal(reader.read(0)[0], pixels)
    # A further file of a series is opened without its head.
    assert np.array_equal(CbfFormat().open_image(path, b"", FormatOptions()).read(0)[0], pixels)


def test_compression_is_told_by_content_not_by_name(tmp_path):
    path = write_mini_cbf(tmp_path / "a_0001.cbf.gz", SMALL)
    renamed = path.rename(tmp_path / "a_0001.cbf")
    assert np.array_equal(open_image(renamed).read(0)[0], SMALL)


@pytest.mark.parametrize(("order", "code"), [(b"LITTLE_ENDIAN", "<i4"), (b"BIG_ENDIAN", ">i4")])
def test_uncompressed_pixels_of_both_byte_orders(tmp_path, order, code):
    path = write_mini_cbf(tmp_path / "a_0001.cbf", SMALL, compress=False)
    content = path.read_bytes().replace(b"LITTLE_ENDIAN", order)
    content = re.sub(rb"Content-MD5: \S+", b"Content-MD5: ", content)
    content = content.replace(SMALL.astype("<i4").tobytes(), SMALL.astype(code).tobytes())
    path.write_bytes(content)
    assert np.array_equal(open_image(path).read(0)[0], SMALL)


def test_gzip_members_are_joined(tmp_path):
    path = tmp_path / "two.gz"
    path.write_bytes(gzip.compress(b"abc") + gzip.compress(b"defg"))
    assert read_all(path).tobytes() == b"abcdefg"
    assert read_head(path, 2) == b"ab"


# -- headers -----------------------------------------------------------------------------------------------------------


def models_of(tmp_path, options=None, pixels=SMALL, **changes):
    path = write_mini_cbf(tmp_path / "a_0001.cbf", pixels, mini_cbf_header(**changes))
    return open_image(path, options=options).models(0)


def test_plain_header_places_the_detector(tmp_path):
    models = models_of(tmp_path)
    panel = models.detector[0]
    assert panel.fast_axis.tolist() == [1, 0, 0] and panel.slow_axis.tolist() == [0, -1, 0]
    assert panel.origin == pytest.approx([-10.5 * 0.172, 8.25 * 0.172, -100.0])
    assert models.detector.beam_centre_px(models.beam.s0, 0) == pytest.approx([10.5, 8.25])
    assert panel.image_size == (4, 3) and panel.pixel_size == pytest.approx([0.172, 0.172])
    assert panel.trusted_range == (0.0, 1048500.0)
    assert (panel.material, panel.thickness, panel.parallax) == ("Si", 0.32, "normalised")
    assert models.beam.wavelength == 1.0 and models.beam.polarization_fraction == 0.99
    assert models.goniometer.rotation_axis.tolist() == [1, 0, 0]
    assert models.scan.oscillation_deg == (0.0, 0.5)
    assert models.exposure_time == 0.1
    assert models.notes == ()


def test_decreasing_angles_turn_the_axis_round(tmp_path):
    models = models_of(tmp_path, Start_angle="30.0 deg.", Angle_increment="-0.5 deg.")
    assert models.goniometer.rotation_axis.tolist() == [-1, 0, 0]
    assert models.scan.oscillation_deg == (-30.0, 0.5)
    # The laboratory rotation is the same: 30 deg about +x is -30 deg about -x.
    expected = models_of(tmp_path).goniometer.rotation(np.deg2rad(30.0))
    assert models.goniometer.rotation(np.deg2rad(-30.0)) == pytest.approx(expected)


@pytest.mark.parametrize("key", ["Wavelength", "Detector_distance"])
def test_missing_essentials_are_an_error_with_the_remedy(tmp_path, key):
    with pytest.raises(FileFormatError, match=rf"a_0001.cbf.*{key}.*set geometry\."):
        models_of(tmp_path, **{key: None})


def test_missing_essentials_can_be_given(tmp_path):
    options = FormatOptions(wavelength=0.7, distance=250.0)
    models = models_of(tmp_path, options, Wavelength=None, Detector_distance=None)
    assert models.beam.wavelength == 0.7 and models.detector[0].distance == pytest.approx(250.0)


def test_a_header_counts_more_than_what_is_given_for_its_lack(tmp_path):
    assert models_of(tmp_path, FormatOptions(wavelength=0.7)).beam.wavelength == 1.0


def test_what_is_assumed_is_said(tmp_path):
    models = models_of(tmp_path, Beam_xy=None, Silicon=None, Count_cutoff=None, Detector_2theta="20.0 deg.")
    text = "\n".join(models.notes)
    for word in ("Beam_xy", "sensor", "Count_cutoff", "Detector_2theta"):
        assert word in text
    assert models.detector[0].parallax == "none"


def test_kappa_goniometer_of_a_known_detector(tmp_path):
    models = models_of(
        tmp_path, Detector="EIGER 16M XR4i S/N 160-0001", Chi="30.0 deg.", Phi="10.0 deg.", Start_angle="5.0 deg."
    )
    goniometer = models.goniometer
    assert goniometer.names == ("GON_PHI", "GON_CHI", "GON_OMEGA") and goniometer.scan_axis == 2
    assert goniometer.angles_deg[:2].tolist() == [10.0, 30.0]


def test_vertical_axis_of_a_known_detector(tmp_path):
    assert models_of(tmp_path, Detector="PILATUS3 6M, S/N 60-0119").goniometer.rotation_axis.tolist() == [0, 1, 0]


def test_times_of_both_styles():
    assert parse_epoch("2016-03-05T09:04:57.090") == pytest.approx(1457168697.09, abs=1e-6)
    assert parse_epoch("2026/Nov/20 12:00:00.000") == 1795176000.0
    assert parse_epoch("yesterday") == 0.0


def test_header_parser_accepts_colons_and_equal_signs():
    header = parse_mini_header(b"# Detector: X, S/N 1-2\n# N_excluded_pixels = 7\n# Tau = 124.0e-09 s\n")
    assert header.numbers["N_excluded_pixels"] == 7 and header.numbers["Tau"] == 124e-9
    assert header.serial == "1-2"


# -- modules -----------------------------------------------------------------------------------------------------------


def test_pilatus_gaps():
    layout = module_layout((487, 619), is_eiger=False)
    assert layout.counts == (1, 3)
    assert layout.gaps() == ((0, 195, 487, 212), (0, 407, 487, 424))


@pytest.mark.parametrize(
    ("size", "is_eiger", "counts"),
    [
        ((2463, 2527), False, (5, 12)),
        ((4148, 4362), True, (4, 8)),
        ((4150, 4371), True, (4, 8)),
        ((1030, 514), True, (1, 1)),
        ((100, 100), True, None),
    ],
)
def test_module_layouts(size, is_eiger, counts):
    layout = module_layout(size, is_eiger)
    assert (layout and layout.counts) == counts


def test_modules_as_panels_show_the_same_pixels_at_the_same_place(tmp_path):
    pixels = np.random.default_rng(1).poisson(2, (619, 487)).astype(np.int32)
    path = write_mini_cbf(tmp_path / "a_0001.cbf", pixels)
    whole, parts = open_image(path), open_image(path, options=FormatOptions(multi_panel=True))
    one, many = whole.models(0).detector, parts.models(0).detector
    assert len(many) == 3
    out = parts.read(0)
    out = parts.read(0, out)
    for panel, array in zip(many, out, strict=True):
        f0, s0 = panel.raw_image_offset
        assert np.array_equal(array, pixels[s0 : s0 + 195, f0 : f0 + 487])
        corner = one[0].origin + f0 * 0.172 * one[0].fast_axis + s0 * 0.172 * one[0].slow_axis
        assert panel.origin == pytest.approx(corner)


# -- damaged files -----------------------------------------------------------------------------------------------------


def test_empty_file_is_named(tmp_path):
    path = tmp_path / "a_0001.cbf"
    path.write_bytes(b"")
    with pytest.raises(FileFormatError, match=r"a_0001.cbf: the file is empty"):
        open_image(path)


def test_truncated_pixels_name_byte_and_expectation(tmp_path):
    path = write_mini_cbf(tmp_path / "a_0001.cbf", np.arange(5000, dtype=np.int32).reshape(50, 100))
    content = path.read_bytes()
    start = content.index(b"\x0c\x1a\x04\xd5") + 4
    path.write_bytes(content[: start + 1000])
    message = rf"a_0001.cbf: end of the file: expected {start + 5000} bytes .*, found {start + 1000} bytes"
    with pytest.raises(FileFormatError, match=message):
        open_image(path).read(0)


def test_truncated_pixels_are_seen_without_reading_them(tmp_path):
    path = write_mini_cbf(tmp_path / "a_0001.cbf", np.arange(5000, dtype=np.int32).reshape(50, 100))
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(FileFormatError, match="found 2000 bytes; the file is cut short"):
        open_image(path)


def test_truncated_header_is_an_error(tmp_path):
    path = write_mini_cbf(tmp_path / "a_0001.cbf", SMALL)
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(FileFormatError, match=r"bytes 0 to 600: expected pixels .* found none"):
        open_image(path)


@pytest.mark.parametrize("suffix", [".gz", ".bz2"])
def test_truncated_compressed_file_is_an_error(tmp_path, suffix):
    pixels = np.random.default_rng(0).integers(0, 1000, (200, 200)).astype(np.int32)
    path = write_mini_cbf(tmp_path / f"a_0001.cbf{suffix}", pixels)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(FileFormatError, match=r"a_0001.cbf.*cut short"):
        open_image(path).read(0)


def test_damaged_compressed_file_is_an_error(tmp_path):
    path = tmp_path / "a_0001.cbf.bz2"
    content = bytearray(bz2.compress(bytes(5000)))
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))
    with pytest.raises(FileFormatError, match=r"a_0001.cbf.bz2"):
        read_all(path)


def test_pixels_that_do_not_decode_to_the_image_fail_on_the_checksum(tmp_path):
    path = write_mini_cbf(tmp_path / "a_0001.cbf", SMALL)
    content = bytearray(path.read_bytes())
    content[content.index(b"\x0c\x1a\x04\xd5") + 5] = 0x80
    path.write_bytes(bytes(content))
    with pytest.raises(FileFormatError, match=r"checksum of the 12 bytes"):
        open_image(path).read(0)


def test_checksum_finds_what_decoding_cannot(tmp_path):
    path = write_mini_cbf(tmp_path / "a_0001.cbf", SMALL)
    content = bytearray(path.read_bytes())
    content[content.index(b"\x0c\x1a\x04\xd5") + 5] += 1
    path.write_bytes(bytes(content))
    unchecked = FormatOptions(verify_checksum=False)
    assert not np.array_equal(open_image(path, options=unchecked).read(0)[0], SMALL)
    with pytest.raises(FileFormatError, match=r"a_0001\.cbf: Content-MD5.*verify_checksum=False"):
        open_image(path).read(0)


@pytest.mark.parametrize("name", ["a_0001.cbf", "a_0001.cbf.gz", "a_0001.cbf.bz2"])
def test_one_flipped_bit_anywhere_is_found_however_the_image_is_read(tmp_path, name):
    # Three pieces of half a megabyte are decoded while they are read.
    pixels = np.random.default_rng(2).poisson(3.0, (1300, 1201)).astype(np.int32)
    whole = write_mini_cbf(tmp_path / "w_0001.cbf", pixels).read_bytes()
    pack = {".gz": gzip.compress, ".bz2": bz2.compress}.get(name[10:], bytes)
    path = tmp_path / name
    path.write_bytes(pack(whole))
    assert np.array_equal(open_image(path).read(0)[0], pixels)
    start = whole.index(b"\x0c\x1a\x04\xd5") + 4
    for at in (0, 700_000, pixels.size - 1) if name.endswith("cbf") else (700_000,):
        content = bytearray(whole)
        content[start + at] ^= 1
        path.write_bytes(pack(bytes(content)))
        with pytest.raises(FileFormatError, match="Content-MD5"):
            open_image(path).read(0)


def test_the_checksum_is_not_compared_when_the_import_says_so(tmp_path):
    import spindle
    from spindle.files import read_experiments, write_experiments
    from spindle.images import ImageSequence

    path = write_mini_cbf(tmp_path / "a_0001.cbf", SMALL)
    content = bytearray(path.read_bytes())
    content[content.index(b"\x0c\x1a\x04\xd5") + 5] ^= 1
    path.write_bytes(bytes(content))
    usual = spindle.run("import", files=[path]).experiments
    with pytest.raises(FileFormatError, match="Content-MD5"):
        ImageSequence(usual[0]).read(0)
    for changed in (
        spindle.run("import", files=[path], verify_checksum=False).experiments,
        spindle.run("import", experiments=usual, verify_checksum=False).experiments,
    ):
        write_experiments(changed, tmp_path / "a.expt")
        again = read_experiments(tmp_path / "a.expt")
        assert ImageSequence(again[0]).read(0)[0].shape == SMALL.shape


def test_unknown_compression_is_an_error_with_the_remedy(tmp_path):
    path = write_mini_cbf(tmp_path / "a_0001.cbf", SMALL)
    path.write_bytes(path.read_bytes().replace(b"x-CBF_BYTE_OFFSET", b"x-CBF_PACKED_V2XX"))
    with pytest.raises(FileFormatError, match=r"x-CBF_PACKED_V2XX; convert"):
        open_image(path)


# -- a curved detector ------------------------------------------------------------------------------------------------


def test_curved_detector_as_dials_reads_it():
    reader = open_image(shared_data("images") / "DLS_I23_P12M_thau_00001.cbf.gz")
    detector = reader.models(0).detector
    assert len(detector) == 24
    # Local frame of row 7 and frame of the root in DIALS's imported.expt, joined.
    turn = np.diag([-1.0, 1.0, -1.0])
    root = np.array([0.86, -0.172, -10.0])
    assert detector[7].origin == pytest.approx(
        turn @ [-184.9, -173.06271031540257, 181.19475240273118] + root, abs=1e-9
    )
    assert detector[7].slow_axis == pytest.approx(turn @ [0.0, 0.7678308648111561, 0.6406526071463006], abs=1e-12)
    pixels = reader.read(0)
    assert [p.shape for p in pixels] == [(195, 2463)] * 24
    assert sum(int(p.sum(dtype=np.int64)) for p in pixels) == 1777082
