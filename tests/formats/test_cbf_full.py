"""Full (imgCIF) CBF files: chains of axes, detectors of several elements."""

from __future__ import annotations

import numpy as np
import pytest

from spindle.errors import FileFormatError
from spindle.images import open_image
from spindle.testing.format import write_mini_cbf

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
