"""CBF images: pixels, headers, geometry and errors."""

from __future__ import annotations

import bz2
import gzip

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spindle_format_cbf import CbfFormat
from spindle_format_cbf.header import parse_epoch, parse_mini_header
from spindle_format_cbf.kernels import decode_byte_offset
from spindle_format_cbf.modules import module_layout
from spindle_format_cbf.reader import PIECE

from spindle.contracts.format import FormatOptions
from spindle.errors import FileFormatError
from spindle.geometry.attenuation import attenuation_coefficient
from spindle.images import open_image
from spindle.images.compressed import read_all, read_head
from spindle.testing import shared_data
from spindle.testing.format import byte_offset, mini_cbf_header, write_mini_cbf

SMALL = np.arange(12, dtype=np.int32).reshape(3, 4)


def decoded(data: bytes, n: int) -> tuple[np.ndarray, int, int]:
    out = np.full(n, -99, dtype=np.int32)
    n_pixels, n_bytes, _ = decode_byte_offset(np.frombuffer(bytearray(data), np.int8), out, 0, 0)
    return out, n_pixels, n_bytes


# -- byte offset -------------------------------------------------------------------------------------------------------


def test_byte_offset_escapes_follow_the_definition():
    # Int. Tables Cryst. G 2.3: one byte, 80 + two bytes, 80 0080 + four bytes, little endian.
    data = bytes([5, 0xFF, 0x80, 0x2C, 0x01, 0x80, 0x00, 0x80, 0x00, 0x00, 0x01, 0x00])
    out, n_pixels, n_bytes = decoded(data, 4)
    assert out.tolist() == [5, 4, 304, 65840]
    assert (n_pixels, n_bytes) == (4, len(data))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(-(2**31), 2**31 - 1) | st.integers(-200, 200), max_size=400))
def test_any_pixels_survive_encoding_and_decoding(values):
    pixels = np.array(values, dtype=np.int32)
    data = byte_offset(pixels)
    out, n_pixels, n_bytes = decoded(data, len(values))
    assert np.array_equal(out, pixels)
    assert (n_pixels, n_bytes) == (len(values), len(data))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(-(2**31), 2**31 - 1) | st.integers(-200, 200), max_size=300), st.integers(15, 700))
def test_pixels_can_be_decoded_piece_by_piece(values, size):
    pixels = np.array(values, dtype=np.int32)
    data = np.frombuffer(bytearray(byte_offset(pixels)), np.int8)
    out = np.zeros_like(pixels)
    done = at = value = 0
    while at < len(data):
        done, used, value = decode_byte_offset(data[at : at + size], out, done, value)
        at += used
    assert done == len(values) and np.array_equal(out, pixels)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=900), st.integers(0, 400))
def test_decoding_never_reads_beyond_its_bytes(data, n):
    _, n_pixels, n_bytes = decoded(data, n)
    assert n_pixels <= n and n_bytes <= len(data)


def test_data_that_end_inside_an_escape_give_fewer_pixels():
    data = byte_offset(np.array([1, 100000]))
    for length in range(1, len(data)):
        assert decoded(data[:length], 2)[1] == 1


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


# -- full CBF ----------------------------------------------------------------------------------------------------------

CIF = """
loop_
_diffrn_scan_axis.scan_id
_diffrn_scan_axis.axis_id
_diffrn_scan_axis.angle_start
_diffrn_scan_axis.angle_range
_diffrn_scan_axis.angle_increment
_diffrn_scan_axis.displacement_start
SCAN1 GON_OMEGA 10.0 {width} {width} 0.0
SCAN1 GON_PHI 40.0 0.0 0.0 0.0
SCAN1 TWOTHETA 30.0 0.0 0.0 0.0
SCAN1 DET_Z 0.0 0.0 0.0 120.0

loop_
_axis.id
_axis.type
_axis.equipment
_axis.depends_on
_axis.vector[1] _axis.vector[2] _axis.vector[3]
_axis.offset[1] _axis.offset[2] _axis.offset[3]
GON_OMEGA rotation goniometer . 1 0 0 . . .
GON_PHI rotation goniometer GON_OMEGA 0 1 0 . . .
SOURCE general source . 0 0 1 . . .
TWOTHETA rotation detector . 0 1 0 . . .
DET_Z translation detector TWOTHETA 0 0 -1 0 0 0
ELEMENT_Y translation detector DET_Z 0 -1 0 -2.0 1.5 0
ELEMENT_X translation detector ELEMENT_Y 1 0 0 0 0 0

loop_
_array_structure_list.array_id
_array_structure_list.index
_array_structure_list.dimension
_array_structure_list.precedence
_array_structure_list.direction
_array_structure_list.axis_set_id
ARRAY1 1 {fast} 1 increasing ELEMENT_X
ARRAY1 2 3 2 increasing ELEMENT_Y

loop_
_array_structure_list_axis.axis_set_id
_array_structure_list_axis.axis_id
_array_structure_list_axis.displacement
_array_structure_list_axis.displacement_increment
ELEMENT_X ELEMENT_X 0.0 0.1720
ELEMENT_Y ELEMENT_Y 0.0 0.1720
_diffrn_radiation_wavelength.wavelength 0.5
"""


def full_cbf(tmp_path, width=0.2, fast=4, cif=CIF):
    text = cif.replace("{width}", str(width)).replace("{fast}", str(fast))
    return write_mini_cbf(tmp_path / "full_0001.cbf", SMALL, cif=text)


def test_axis_chain_places_the_detector(tmp_path):
    models = open_image(full_cbf(tmp_path)).models(0)
    panel = models.detector[0]
    c, s = np.cos(np.deg2rad(30)), np.sin(np.deg2rad(30))
    turn = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    assert panel.fast_axis == pytest.approx(turn @ [1, 0, 0])
    assert panel.slow_axis == pytest.approx(turn @ [0, -1, 0])
    assert panel.origin == pytest.approx(turn @ [-2.0, 1.5, -120.0])
    assert models.beam.wavelength == 0.5


def test_full_cbf_without_detector_comments(tmp_path):
    cif = CIF.replace("{width}", "0.2").replace("{fast}", "4")
    path = write_mini_cbf(tmp_path / "full_0001.cbf", SMALL, header=[], cif=cif)
    models = open_image(path).models(0)
    assert models.detector[0].distance == pytest.approx(120.0) and models.detector[0].parallax == "none"
    assert any("sensor material" in note for note in models.notes)


def test_goniometer_of_an_axis_chain(tmp_path):
    models = open_image(full_cbf(tmp_path)).models(0)
    goniometer = models.goniometer
    assert goniometer.names == ("GON_PHI", "GON_OMEGA") and goniometer.scan_axis == 1
    assert models.scan.oscillation_deg == (10.0, 0.2)
    c, s = np.cos(np.deg2rad(40)), np.sin(np.deg2rad(40))
    assert goniometer.fixed_rotation == pytest.approx(np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]))


def test_decreasing_angle_of_an_axis_chain(tmp_path):
    models = open_image(full_cbf(tmp_path, width=-0.2)).models(0)
    assert models.goniometer.rotation_axis.tolist() == [-1, 0, 0]
    assert models.scan.oscillation_deg == (-10.0, 0.2)


def test_contradicting_image_size_is_an_error(tmp_path):
    with pytest.raises(FileFormatError, match=r"describes 5 x 3 pixels, the image has 4 x 3"):
        open_image(full_cbf(tmp_path, fast=5)).models(0)


def test_axis_that_depends_on_nothing_known_is_an_error(tmp_path):
    with pytest.raises(FileFormatError, match="'NOWHERE'"):
        open_image(full_cbf(tmp_path, cif=CIF.replace("detector TWOTHETA", "detector NOWHERE"))).models(0)


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
    with pytest.raises(
        FileFormatError, match=rf"a_0001.cbf: cut short at byte {start + 1000}: .* should reach byte {start + 5000}"
    ):
        open_image(path).read(0)


def test_truncated_pixels_are_seen_without_reading_them(tmp_path):
    path = write_mini_cbf(tmp_path / "a_0001.cbf", np.arange(5000, dtype=np.int32).reshape(50, 100))
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(FileFormatError, match="cut short at byte 2000"):
        open_image(path)


def test_truncated_header_is_an_error(tmp_path):
    path = write_mini_cbf(tmp_path / "a_0001.cbf", SMALL)
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(FileFormatError, match="no pixels in the first 600 bytes"):
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
    assert not np.array_equal(open_image(path).read(0)[0], SMALL)
    with pytest.raises(FileFormatError, match="checksum"):
        open_image(path, options=FormatOptions(verify_checksum=True)).read(0)


def test_unknown_compression_is_an_error_with_the_remedy(tmp_path):
    path = write_mini_cbf(tmp_path / "a_0001.cbf", SMALL)
    path.write_bytes(path.read_bytes().replace(b"x-CBF_BYTE_OFFSET", b"x-CBF_PACKED_V2XX"))
    with pytest.raises(FileFormatError, match=r"x-CBF_PACKED_V2XX.*Convert"):
        open_image(path)


# -- attenuation -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("material", "kev", "mass_attenuation", "density"),
    # NIST Standard Reference Database 126, tabulated points (cm^2/g).
    [("Si", 10.0, 33.89, 2.33), ("Si", 20.0, 4.464, 2.33), ("CdTe", 15.0, 46.57, 6.2), ("GaAs", 20.0, 42.58, 5.32)],
)
def test_attenuation_at_tabulated_energies(material, kev, mass_attenuation, density):
    wavelength = 12.398419843320026 / kev
    assert attenuation_coefficient(material, wavelength) == pytest.approx(mass_attenuation * density / 10, rel=1e-9)


@pytest.mark.parametrize(
    ("wavelength", "mu"), [(0.6889, 1.4153536), (0.97625, 3.9220366), (2.7552, 76.2975781), (1.0, 4.2079859)]
)
def test_attenuation_of_silicon_as_dials_writes_it(wavelength, mu):
    # `mu` of imported.expt by DIALS 3.12.1 for the images of the shared data.
    assert attenuation_coefficient("Si", wavelength) == pytest.approx(mu, rel=1e-6)


# -- real images: numbers of DIALS 3.12.1 (dials.import, dxtbx) --------------------------------------------------------

REAL = {
    "i19": {
        "file": "l_cysteine/l-cyst_02_00001.cbf.bz2",
        "fast": (0, 0.8660254037843935, 0.5000000000000784),
        "slow": (1, 0, 0),
        "origin": (-148.78, -28.738149699174144, -201.3440646055102),
        "wavelength": 0.6889,
        "size": (1475, 1679),
        "cutoff": 388705.0,
        "axes": [(0.5774, -0.8165, 0), (1, 0, 0)],
        "angles": (120.0, -145.0),
        "scan_axis": 1,
        "oscillation": (-145.0, 0.1),
        "epoch": 1457168697.09,
        "exposure": 0.0964,
        "total": -143650,
    },
    "i03": {
        "file": "images/DLS_I03_smargon_0001.cbf.gz",
        "fast": (1, 0, 0),
        "slow": (0, -1, 0),
        "origin": (-211.44, 206.48, -291.47),
        "wavelength": 0.97625,
        "size": (2463, 2527),
        "cutoff": 91795.0,
        "axes": [(1, 0, 0), (0, 0, -1), (1, 0, 0)],
        "angles": (45.0, 45.0, 45.0),
        "scan_axis": 2,
        "oscillation": (45.0, 0.1),
        "epoch": 1511450621.88,
        "exposure": 0.009,
        "total": 36200,
    },
    "eiger": {
        "file": "images/dlsnxs2cbf_therm_0001.cbf.gz",
        "fast": (1, 0, 0),
        "slow": (0, -1, 0),
        "origin": (-166.2045, 172.53075, -213.96),
        "wavelength": 0.98027,
        "size": (4148, 4362),
        "cutoff": 65535.0,
        "axes": [(1, 0, 0), (0, 0, -1), (1, 0, 0)],
        "angles": (0.0, 0.0, 174.0),
        "scan_axis": 2,
        "oscillation": (174.0, 0.25),
        "epoch": 1550154357.0,
        "exposure": 0.008,
        "total": -1210773,
    },
    "i24": {
        "file": "thaumatin_grid/thau_3_2_0001.cbf.bz2",
        "fast": (1, 0, 0),
        "slow": (0, -1, 0),
        "origin": (-216.99692, 224.79712, -351.0),
        "wavelength": 0.96859,
        "size": (2463, 2527),
        "cutoff": 115897.0,
        "axes": [(0, 1, 0)],
        "angles": None,
        "scan_axis": None,
        "oscillation": (89.9997, 0.0),
        "epoch": 1568208028.989,
        "exposure": 0.02,
        "total": 20608414,
    },
}


@pytest.mark.parametrize("name", list(REAL))
def test_real_images_as_dials_reads_them(name):
    known = REAL[name]
    folder, _, file = known["file"].partition("/")
    reader = open_image(shared_data(folder) / file)
    models = reader.models(0)
    panel = models.detector[0]
    assert panel.fast_axis == pytest.approx(np.array(known["fast"]), abs=1e-12)
    assert panel.slow_axis == pytest.approx(np.array(known["slow"]), abs=1e-12)
    assert panel.origin == pytest.approx(np.array(known["origin"]), abs=1e-9)
    assert panel.image_size == known["size"] and panel.trusted_range == (0.0, known["cutoff"])
    assert models.beam.wavelength == known["wavelength"]
    assert models.scan.oscillation_deg == known["oscillation"]
    assert models.epoch == pytest.approx(known["epoch"], abs=1e-3) and models.exposure_time == known["exposure"]
    goniometer = models.goniometer
    if known["angles"] is None:
        assert goniometer.rotation_axis == pytest.approx(known["axes"][0]) and goniometer.axes is None
    else:
        assert goniometer.axes == pytest.approx(np.array(known["axes"]), abs=1e-12)
        assert goniometer.angles_deg == pytest.approx(known["angles"]) and goniometer.scan_axis == known["scan_axis"]
    assert int(reader.read(0)[0].sum(dtype=np.int64)) == known["total"]


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
