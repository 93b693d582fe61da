"""The compressions of CBF files: byte offset, packed, nibble offset, canonical and none."""

from __future__ import annotations

import base64

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spindle_format_cbf.kernels import decode_byte_offset

from spindle.contracts.format import FormatOptions
from spindle.errors import FileFormatError
from spindle.images import open_image
from spindle_lib_readers.cbf_writing import binary_section
from spindle_lib_readers.testing.cbf import canonical, nibble_offset, packed
from spindle_lib_readers.testing.mini_cbf import byte_offset, mini_cbf_header


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


# -- the other compressions --------------------------------------------------------------------------------------------

# 2 x 3 x 5 pixels and their bytes as CBFlib 0.9.7 wrote them, base 85.
SIGNED = [
    [[-4, -3, 0, 5, 12], [4, -2, 100000, 9, 9], [11, -2, 4, 12, 5]],
    [[2147483647, -3, -4, -3, 0], [5, 12, 4, -2, 11], [9, 9, 11, -2, -2147483648]],
]
UNSIGNED = [
    [[0, 1, 8, 4, 18], [10, 9, 21, 6, 16], [11, 65535, 3, 12, 7]],
    [[17, 2, 14, 13, 5], [19, 40000, 22, 0, 1], [8, 4, 18, 10, 9]],
]
LONG, SHORT = "signed 32-bit integer", "unsigned 16-bit integer"
WRITTEN_BY_CBFLIB = [
    (LONG, 'x-CBF_PACKED"', "9smFU000000000000000000000000000000000003ddA(hdd5y7ytlwc}8BzQ=VI%UY`2@`2YX_p#T5>U-E%WjsO4v-T(jq55GJoYY4?L&oj^P$TP10|NjR"),
    (LONG, 'x-CBF_PACKED"; "uncorrelated_sections"', "9smFU000000000000000000000000000000000003ddA(hdd5y7ytlwc}8BzQ=VI%UY`2@`2YX_p#T5>U-E%WegFUf+yDRoE{)GX5``eX|Ns97"),
    (LONG, 'x-CBF_PACKED"; "flat"', "9smFU000000000000000000000000000000000003ddA(h-fZq7ytkO001B@&;K6)004jl#557gx&HtE9{>OV0RR90KL7v#0Mien9ITt<fta`e001BW0000"),
    (LONG, 'x-CBF_PACKED_V2"', "9smFU000000000000000000000000000000000005{{|J9pZRU!vFwymuJQ+`IP6Dr<bSxe|`V}0MP&c|1a?%mPY^p0B-;QfJeVPBWn;!$2@1A=#eL0|Ns9F"),
    (LONG, 'x-CBF_NIBBLE_OFFSET"', "ApHOT{{a9100RI300jU500#g70Qmp^|N8&`|DuKg0BL#t{{R3000IC20Q3L<{{{d600;m80Qvv_|N8&`fBygfe*gdgfcytTao`|`{{R1f0{{Sk|Ns9#0001h0002M{Qv*I0000W"),
    (SHORT, 'x-CBF_PACKED"', "9smFU0000000000000000000000000000000000069|X9L|&4F1TO!-=|CRE%#TAZzu`1wi0akdG2$2m8T|hN"),
    (SHORT, 'x-CBF_PACKED"; "uncorrelated_sections"', "9smFU0000000000000000000000000000000000069|X9L|&4F1TO!-=|CRE%#TAUpW*z+h@{uOW6&}7F#rIN0R"),
    (SHORT, 'x-CBF_PACKED"; "flat"', "9smFU0000000000000000000000000000000000069|Vp{8<zgvN`?#|33f#0006200000002|kDzcAV-op9+4*&oFz<LY-00000fTjiqA32OX"),
    (SHORT, 'x-CBF_PACKED_V2"', "9smFU000000000000000000000000000000000008xRh6iM&V>B6#`#kq+ch%=|dU<!?9*88Y?i-7(@A1R4DQ0R"),
    (SHORT, 'x-CBF_NIBBLE_OFFSET"', "3<L-7;6D>9J540J5;H&UfDkR5)?@1b0RRU8{QnLB`2YX^"),
]  # fmt: skip


def write_cbf(path, data, shape, conversion, element=LONG):
    """A miniCBF with one section; three dimensions are given as many rows."""
    lines = ["###CBF: VERSION 1.5", "", "data_image", "_array_data.header_contents", ";", *mini_cbf_header(), ";", ""]
    text = "\r\n".join([*lines, "_array_data.data", ""])
    path.write_bytes(text.encode() + binary_section(data, shape, conversion, element, padding=64))
    return path


def decoded_section(data, shape, conversion, element):
    """Pixels of a section, in a file of several layers or not."""
    from pathlib import Path

    from spindle_format_cbf.binary import find_binary
    from spindle_format_cbf.decoding import check_readable, decode

    content = binary_section(data, shape, conversion, element, padding=64)
    header = find_binary(content, Path("a.cbf"))
    check_readable(header, Path("a.cbf"))
    out = np.full(shape, -99, header.out_type)
    decode(np.frombuffer(bytearray(content), np.int8), header, out, Path("a.cbf"), True)
    return out


@pytest.mark.parametrize(("element", "conversion", "text"), WRITTEN_BY_CBFLIB, ids=lambda v: v[:40])
def test_pixels_written_by_cbflib(element, conversion, text):
    expected = np.array(SIGNED if element == LONG else UNSIGNED)
    found = decoded_section(base64.b85decode(text), expected.shape, conversion.removesuffix('"'), element)
    assert np.array_equal(found, expected)


IMAGES = st.tuples(
    st.integers(1, 3), st.integers(1, 5), st.integers(2, 9), st.integers(0, 2**31), st.sampled_from([4, 300, 2**31])
)


def random_image(case):
    layers, slow, fast, seed, size = case
    rng = np.random.default_rng(seed)
    return rng.integers(-size // 4, size, (layers, slow, fast)).astype(np.int32) * (
        rng.random((layers, slow, fast)) < 0.8
    )


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    IMAGES, st.sampled_from([1, 2]), st.sampled_from(["", '"; "flat', '"; "uncorrelated_sections']), st.integers(0, 7)
)
def test_any_image_survives_packing(case, version, variant, first_block):
    pixels = random_image(case)
    data = packed(pixels, version, 32, "flat" in variant, "unc" not in variant, first_block)
    conversion = f"x-CBF_PACKED{'_V2' if version == 2 else ''}{variant}"
    assert np.array_equal(decoded_section(data, pixels.shape, conversion, LONG), pixels)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(IMAGES, st.integers(0, 5))
def test_any_image_survives_nibble_offset_and_canonical_code(case, number):
    pixels = random_image(case)
    for data, conversion in (
        (nibble_offset(pixels, number), "x-CBF_NIBBLE_OFFSET"),
        (canonical(pixels, number + 1), "x-CBF_CANONICAL"),
    ):
        assert np.array_equal(decoded_section(data, pixels.shape, conversion, LONG), pixels), conversion


@pytest.mark.parametrize(
    "kind", ["signed 8-bit integer", "unsigned 8-bit integer", "signed 16-bit integer", "unsigned 16-bit integer",
             "unsigned 32-bit integer", "signed 32-bit real IEEE", "signed 64-bit real IEEE"],
)  # fmt: skip
def test_uncompressed_pixels_of_any_type(kind):
    code = {"8": "1", "16": "2", "32": "4", "64": "8"}[kind.split()[1].split("-")[0]]
    dtype = np.dtype(("f" if "real" in kind else "u" if kind.startswith("un") else "i") + code)
    pixels = np.array([[0, 1, 2], [100, 101, 127]], dtype)
    assert np.array_equal(decoded_section(pixels.tobytes(), (2, 3), "", kind), pixels)


@pytest.mark.parametrize(("element", "code"), [("signed 32-bit real IEEE", "f4"), ("signed 64-bit real IEEE", "f8")])
def test_packed_reals(element, code):
    pixels = np.array(
        [[[0.0, 1.5, -3e7, 1e-30], [12.0, 13.0, 12.5, 1e30]], [[0.0, -0.5, 7.0, 8.0], [1, 2, 3, 4]]], code
    )
    bits = 8 * pixels.itemsize
    data = packed(pixels.view(f"i{pixels.itemsize}"), 2, bits)
    assert np.array_equal(decoded_section(data, pixels.shape, "x-CBF_PACKED_V2", element), pixels.astype(np.float32))


def test_integers_of_64_bits_become_the_nearest_of_32():
    pixels = np.array([[5, -(2**40)], [2**40, -6]])
    for data, conversion in ((pixels.astype("<i8").tobytes(), ""), (packed(pixels, 1, 64), "x-CBF_PACKED")):
        found = decoded_section(data, (2, 2), conversion, "signed 64-bit integer")
        assert found.tolist() == [[5, -(2**31)], [2**31 - 1, -6]]


@pytest.mark.parametrize("conversion", ["", "x-CBF_BYTE_OFFSET", "x-CBF_PACKED", "x-CBF_NIBBLE_OFFSET"])
def test_unsigned_pixels_beyond_31_bits_become_the_largest_number(conversion):
    pixels = np.array([[5, 2**32 - 1], [2**31, 2**31 - 1]], np.uint32)
    signed = pixels.view(np.int32)
    data = {"": pixels.tobytes(), "x-CBF_BYTE_OFFSET": byte_offset(signed), "x-CBF_PACKED": packed(signed),
            "x-CBF_NIBBLE_OFFSET": nibble_offset(signed)}[conversion]  # fmt: skip
    assert decoded_section(data, (2, 2), conversion, "unsigned 32-bit integer").tolist() == [
        [5, 2**31 - 1],
        [2**31 - 1] * 2,
    ]


@pytest.mark.parametrize("conversion", ["x-CBF_PACKED", "x-CBF_PACKED_V2", "x-CBF_NIBBLE_OFFSET", "x-CBF_CANONICAL"])
def test_files_of_each_compression_and_their_damage(tmp_path, conversion):
    pixels = np.random.default_rng(3).poisson(4.0, (31, 17)).astype(np.int32)
    encode = {"x-CBF_PACKED": packed, "x-CBF_PACKED_V2": lambda p: packed(p, 2), "x-CBF_CANONICAL": canonical,
              "x-CBF_NIBBLE_OFFSET": nibble_offset}[conversion]  # fmt: skip
    data = encode(pixels)
    whole = write_cbf(tmp_path / "a_0001.cbf", data, pixels.shape, conversion)
    for verify in (False, True):
        assert np.array_equal(open_image(whole, options=FormatOptions(verify_checksum=verify)).read()[0], pixels)
    # Half of the bytes are missing, but the file says that they are all.
    short = write_cbf(tmp_path / "b_0001.cbf", data[: len(data) // 2], pixels.shape, conversion)
    with pytest.raises(FileFormatError, match=rf"b_0001\.cbf.*expected {pixels.size} pixels.*are corrupt"):
        open_image(short).read()
    content = bytearray(whole.read_bytes())
    content[content.index(b"\x0c\x1a\x04\xd5") + 50] ^= 0x55
    (tmp_path / "c_0001.cbf").write_bytes(bytes(content))
    with pytest.raises(FileFormatError, match=r"c_0001\.cbf.*Content-MD5"):
        open_image(tmp_path / "c_0001.cbf", options=FormatOptions(verify_checksum=True)).read()
    cut = tmp_path / "d_0001.cbf"
    cut.write_bytes(whole.read_bytes()[: -len(data) // 2 - 140])
    with pytest.raises(FileFormatError, match=r"d_0001\.cbf.*cut short"):
        open_image(cut).read()


@pytest.mark.parametrize("conversion", ["x-CBF_PACKED", "x-CBF_PACKED_V2", "x-CBF_NIBBLE_OFFSET", "x-CBF_CANONICAL"])
@settings(max_examples=30, deadline=None)
@given(data=st.binary(max_size=300))
def test_junk_is_an_error_not_a_crash(conversion, data):
    with pytest.raises(FileFormatError, match=r"pixels|X-Binary-Size"):
        decoded_section(data, (50, 60), conversion, LONG)


@pytest.mark.parametrize(
    ("conversion", "element", "says"),
    [
        ("x-CBF_PREDICTOR", LONG, "x-CBF_PREDICTOR.*convert"),
        ("x-CBF_BYTE_OFFSET", "signed 32-bit real IEEE", "real IEEE.*compression BYTE_OFFSET.*convert"),
        ("", "signed 64-bit complex IEEE", "complex"),
    ],
)
def test_what_is_not_read_is_named_with_a_remedy(tmp_path, conversion, element, says):
    with pytest.raises(FileFormatError, match=rf"a_0001\.cbf.*{says}"):
        open_image(write_cbf(tmp_path / "a_0001.cbf", bytes(48), (3, 4), conversion, element))


def test_pixels_written_as_text_are_an_error_with_the_remedy(tmp_path):
    path = write_cbf(tmp_path / "a_0001.cbf", bytes(48), (3, 4), "")
    text = path.read_bytes().split(b"\x0c\x1a")[0].replace(b"Encoding: BINARY", b"Encoding: BASE64") + b"AAAA\n"
    path.write_bytes(text)
    with pytest.raises(FileFormatError, match="BASE64"):
        open_image(path)


@pytest.mark.parametrize(("old", "new"), [(b"Fastest-Dimension: 4", b"Fastest-Dimension: 4000000000"), (b"Size: 48", b"Size: 0"),
                                          (b"Second-Dimension: 3", b"Second-Dimension: 0")])  # fmt: skip
def test_absurd_sizes_are_an_error_before_memory_is_taken(tmp_path, old, new):
    path = write_cbf(tmp_path / "a_0001.cbf", bytes(48), (3, 4), "")
    content = path.read_bytes().replace(old, new).replace(b"X-Binary-Number-of-Elements: 12\r\n", b"")
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=r"a_0001\.cbf.*binary section at byte"):
        open_image(path)
