"""Full (imgCIF) CBF files: chains of axes, detectors of several elements."""

from __future__ import annotations

import numpy as np
import pytest

from spindle.errors import FileFormatError
from spindle.images import open_image
from spindle.testing.format import FormatContract
from spindle_lib_readers.cbf_writing import binary_section
from spindle_lib_readers.testing.cbf import packed
from spindle_lib_readers.testing.images import write_bytes
from spindle_lib_readers.testing.mini_cbf import write_mini_cbf

SMALL = np.arange(12, dtype=np.int32).reshape(3, 4)

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
    with pytest.raises(FileFormatError, match=r"expected 5 x 3 pixels as the CIF header says, found 4 x 3"):
        open_image(full_cbf(tmp_path, fast=5)).models(0)


def test_axis_that_depends_on_nothing_known_is_an_error(tmp_path):
    with pytest.raises(FileFormatError, match="'NOWHERE'"):
        open_image(full_cbf(tmp_path, cif=CIF.replace("detector TWOTHETA", "detector NOWHERE"))).models(0)


# -- several elements --------------------------------------------------------------------------------------------------

FRAME = """
_diffrn_detector.diffrn_id DS1
_diffrn_detector.type 'CS PAD'
_diffrn_radiation_wavelength.wavelength 1.25

loop_
_diffrn_data_frame.id
_diffrn_data_frame.detector_element_id
_diffrn_data_frame.array_id
_diffrn_data_frame.binary_id
FRAME1 LEFT ARRAY_LEFT 1
FRAME1 RIGHT ARRAY_RIGHT 2

loop_
_array_intensities.array_id
_array_intensities.gain
_array_intensities.overload
_array_intensities.undefined_value
ARRAY_LEFT 1.5 9000 -40
ARRAY_RIGHT 1.0 8000 -1

loop_
_diffrn_scan_axis.axis_id
_diffrn_scan_axis.angle_start
_diffrn_scan_axis.displacement_start
DISTANCE 0 -99
TURN_A 0 0

loop_
_diffrn_scan_frame_axis.axis_id
_diffrn_scan_frame_axis.frame_id
_diffrn_scan_frame_axis.angle
_diffrn_scan_frame_axis.displacement
DISTANCE FRAME1 0 -100
TURN_A FRAME1 90 0

loop_
_axis.id
_axis.type
_axis.equipment
_axis.depends_on
_axis.vector[1]
_axis.vector[2]
_axis.vector[3]
_axis.offset[1]
_axis.offset[2]
_axis.offset[3]
SOURCE general source . 0 0 1 . . .
DISTANCE translation detector . 0 0 1 . . .
TURN_A rotation detector DISTANCE 0 0 1 10 20 0
SLOW_A translation detector TURN_A 0 -1 0 -1 2 0
FAST_A translation detector SLOW_A 1 0 0 0 0 0
SLOW_B translation detector DISTANCE 0 -1 0 -5 6 1
FAST_B translation detector SLOW_B 1 0 0 0 0 0

loop_
_array_structure_list_axis.axis_set_id
_array_structure_list_axis.axis_id
_array_structure_list_axis.displacement
_array_structure_list_axis.displacement_increment
FAST_A FAST_A 0.0 0.11
SLOW_A SLOW_A 0.0 0.12
FAST_B FAST_B 0.0 0.11
SLOW_B SLOW_B 0.0 0.12
"""
STRUCTURE = """
loop_
_array_structure_list.array_id
_array_structure_list.array_section_id
_array_structure_list.index
_array_structure_list.dimension
_array_structure_list.precedence
_array_structure_list.direction
_array_structure_list.axis_set_id
"""
ARRAYS = """ARRAY_LEFT . 1 6 1 increasing FAST_A
ARRAY_LEFT . 2 4 2 increasing SLOW_A
ARRAY_RIGHT . 1 5 1 increasing FAST_B
ARRAY_RIGHT . 2 3 2 increasing SLOW_B
"""
SECTIONS = """ARRAY_LEFT . 1 6 1 increasing .
ARRAY_LEFT . 2 4 2 increasing .
ARRAY_LEFT . 3 2 3 increasing .
ARRAY_LEFT TOP 1 3 1 increasing FAST_A
ARRAY_LEFT TOP 2 4 2 increasing SLOW_A
ARRAY_LEFT END 1 3 1 increasing FAST_B
ARRAY_LEFT END 2 2 2 increasing SLOW_B

loop_
_array_structure_list_section.array_id
_array_structure_list_section.id
_array_structure_list_section.index
_array_structure_list_section.start
_array_structure_list_section.end
ARRAY_LEFT TOP 1 4 6
ARRAY_LEFT TOP 2 1 4
ARRAY_LEFT TOP 3 1 1
ARRAY_LEFT END 1 1 3
ARRAY_LEFT END 2 3 4
ARRAY_LEFT END 3 2 2
"""
LEFT, RIGHT = np.arange(24).reshape(4, 6) - 3, 100 * np.arange(15).reshape(3, 5)
CUBE = np.arange(48).reshape(2, 4, 6) ** 2


def tiled(path, structure, arrays, numbers=(1, 2), frame=FRAME):
    """A full CBF with a section for each array."""
    content = ("###CBF: VERSION 1.7\r\ndata_x\r\n" + frame + STRUCTURE + structure).replace("\n", "\r\n").encode()
    content += b"\r\nloop_\r\n_array_data.array_id\r\n_array_data.binary_id\r\n_array_data.data\r\n"
    for array, number in zip(arrays, numbers, strict=False):
        content += f"ANY {number}\r\n".encode()
        content += binary_section(packed(array), array.shape, "x-CBF_PACKED", number=number, padding=64)
    return write_bytes(path, content)


def test_an_array_for_each_element(tmp_path):
    reader = open_image(tiled(tmp_path / "a_0001.cbf.gz", ARRAYS, [LEFT, RIGHT]))
    models = reader.models()
    left, right = models.detector
    assert models.beam.wavelength == 1.25 and models.goniometer is None and models.scan is None
    assert (left.name, right.name) == ("ARRAY_LEFT", "ARRAY_RIGHT") and left.type == "SENSOR_PAD"
    assert left.trusted_range == (-39.0, 8999.0) and right.trusted_range == (0.0, 7999.0) and left.gain == 1.5
    # The first element is turned by 90 deg about the beam, (-1, 2) to (-2, -1).
    assert left.origin == pytest.approx([10 - 2, 20 - 1, -100]) and left.pixel_size.tolist() == [0.11, 0.12]
    assert left.fast_axis == pytest.approx([0, 1, 0]) and left.slow_axis == pytest.approx([1, 0, 0])
    assert right.origin == pytest.approx([-5, 6, -99]) and right.slow_axis == pytest.approx([0, -1, 0])
    pixels = reader.read()
    assert np.array_equal(pixels[0], LEFT) and np.array_equal(pixels[1], RIGHT)


def test_elements_on_the_same_axes_are_groups(tmp_path):
    root = open_image(tiled(tmp_path / "a_0001.cbf", ARRAYS, [LEFT, RIGHT])).models().detector.hierarchy
    # Both stand on the axis of the distance; only the left one is turned, which makes no group of one element.
    assert (root["name"], root["origin"]) == ("DISTANCE", [0, 0, -100])
    assert root["children"] == [{"panel": 0}, {"panel": 1}]
    frame = FRAME.replace("SLOW_B translation detector DISTANCE", "SLOW_B translation detector TURN_A")
    detector = open_image(tiled(tmp_path / "b_0001.cbf", ARRAYS, [LEFT, RIGHT], frame=frame)).models().detector
    root = detector.hierarchy
    assert root["name"] == "TURN_A" and root["origin"] == [10, 20, -100]
    assert root["fast_axis"] == pytest.approx([0, 1, 0]) and root["slow_axis"] == pytest.approx([-1, 0, 0])
    # (-5, 6, 1) turned by 90 deg about z.
    assert detector[1].origin == pytest.approx([10 - 6, 20 - 5, -99])


def test_memory_of_several_elements_is_used_again(tmp_path):
    reader = open_image(tiled(tmp_path / "a_0001.cbf", ARRAYS, [LEFT, RIGHT]))
    first = reader.read()
    again = reader.read(0, first)
    assert all(np.shares_memory(a, b) for a, b in zip(first, again, strict=True))
    assert np.array_equal(again[1], RIGHT)


def test_arrays_are_found_by_the_numbers_of_their_sections(tmp_path):
    pixels = open_image(tiled(tmp_path / "a_0001.cbf", ARRAYS, [RIGHT, LEFT], (2, 1))).read()
    assert np.array_equal(pixels[0], LEFT) and np.array_equal(pixels[1], RIGHT)


def test_sections_of_an_array_with_layers(tmp_path):
    reader = open_image(tiled(tmp_path / "a_0001.cbf.bz2", SECTIONS, [CUBE]))
    top, end = reader.models().detector
    assert (top.name, top.image_size) == ("TOP", (3, 4)) and (end.name, end.image_size) == ("END", (3, 2))
    assert end.origin == pytest.approx([-5, 6, -99])
    pixels = reader.read()
    assert np.array_equal(pixels[0], CUBE[0, :, 3:]) and np.array_equal(pixels[1], CUBE[1, 2:, :3])


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("TURN_A rotation detector DISTANCE", "TURN_A rotation detector SLOW_A", "depends_on of 'TURN_A'.*not in the chain"),
        ("TURN_A rotation detector DISTANCE 0 0 1", "TURN_A rotation detector DISTANCE 0 0 0", "axis 'TURN_A'.*length 0"),
        ("FAST_B translation", "FAST_C translation", "of 'END', axis set 'FAST_B'.*not in _axis"),
        ("FAST_B FAST_B 0.0 0.11", "FAST_B FAST_B 0.0 .", "of 'END', axis set 'FAST_B'.*without increment"),
        ("TOP 1 3 1 increasing", "TOP 1 3 1 decreasing", "direction of 'TOP'.*found decreasing"),
        ("TOP 1 3 1 increasing", "TOP 1 3 2 increasing", "list of 'TOP'.*precedence"),
        ("TOP 1 4 6", "TOP 1 4 7", "section 'TOP'.*found pixels 4 to 7"),
        ("TOP 1 4 6", "TOP 1 6 4", "section of 'TOP'.*from 6 to 4"),
        ("ARRAY_LEFT TOP 3 1 1", "ARRAY_LEFT TOP 3 1 2", "array 'TOP'.*2 layers"),
        ("ARRAY_LEFT . 1 6 1", "ARRAY_LEFT . 1 7 1", "array 'ARRAY_LEFT'.*7 x 4 x 2 pixels.*found 6 x 4 x 2"),
        ("ARRAY_LEFT . 2 4 2 increasing .\nARRAY_LEFT . 3 2 3 increasing .\n", "", "list of 'ARRAY_LEFT'"),
        ("FRAME1 RIGHT ARRAY_RIGHT 2", "FRAME2 LEFT ARRAY_LEFT 2", "2 frames"),
        ("_axis.id", "_axis.name", "without imgCIF axes"),
        ("1.25", "?", "wavelength.*geometry.beam.wavelength="),
    ],
)  # fmt: skip
def test_defects_of_the_header_are_named(tmp_path, old, new, says):
    path = tiled(tmp_path / "a_0001.cbf", SECTIONS.replace(old, new), [CUBE], frame=FRAME.replace(old, new))
    with pytest.raises(FileFormatError, match=rf"a_0001\.cbf.*({says})"):
        open_image(path).models()


def test_missing_and_damaged_sections_are_named(tmp_path):
    path = tiled(tmp_path / "a_0001.cbf", ARRAYS, [LEFT])
    with pytest.raises(FileFormatError, match=r"a_0001\.cbf.*binary section 2 of 2.*found none"):
        open_image(path).read()
    path = tiled(tmp_path / "b_0001.cbf", ARRAYS, [LEFT, LEFT])
    with pytest.raises(FileFormatError, match=r"b_0001\.cbf.*array 'ARRAY_RIGHT'.*expected 5 x 3.*found 6 x 4"):
        open_image(path).read()
    path = tiled(tmp_path / "c_0001.cbf", ARRAYS, [LEFT, RIGHT])
    path.write_bytes(path.read_bytes()[:-150])
    with pytest.raises(FileFormatError, match=r"c_0001\.cbf.*cut short"):
        open_image(path).read()


def test_layers_without_sections_are_an_error(tmp_path):
    path = tiled(
        tmp_path / "a_0001.cbf",
        SECTIONS.split("ARRAY_LEFT TOP")[0].replace("increasing .", "increasing FAST_A"),
        [CUBE],
    )
    with pytest.raises(FileFormatError, match="2 layers without sections"):
        open_image(path).models()


class TestTiled(FormatContract):
    """A detector of several elements fulfils the contract of formats."""

    name = "cbf"

    @pytest.fixture
    def image_file(self, tmp_path):
        return tiled(tmp_path / "image_0001.cbf", ARRAYS, [LEFT, RIGHT])


class TestSections(FormatContract):
    """So does one of several sections in one array."""

    name = "cbf"

    @pytest.fixture
    def image_file(self, tmp_path):
        return tiled(tmp_path / "image_0001.cbf.gz", SECTIONS, [CUBE])
