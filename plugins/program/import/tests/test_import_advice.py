"""Advice of headers' notes shrinks as it is followed."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from spindle_program_import.advice import still_to_do

import spindle
from spindle.files import write_experiments
from spindle_lib_readers.testing.mini_cbf import mini_cbf_header, write_mini_cbf

CENTRE, OSCILLATION, AXIS = (
    "geometry.detector.fast_slow_beam_centre", "geometry.scan.oscillation", "geometry.goniometer.axis",
)  # fmt: skip
THREE = f"no rotation; set {CENTRE}=<fast px>,<slow px>, {OSCILLATION}=<start>,<width> and {AXIS}="
SENSOR = "not corrected; set geometry.detector.panel.material= and thickness="
EITHER = (
    "nothing fits, set geometry.goniometer.invert_rotation_axis=True or geometry.detector.panel.fast_axis= and origin="
)


@pytest.mark.parametrize(
    ("note", "given", "left"),
    [
        (THREE, set(), THREE),
        (THREE, {OSCILLATION}, f"no rotation; set {CENTRE}=<fast px>,<slow px> and {AXIS}="),
        (THREE, {OSCILLATION, CENTRE}, f"no rotation; set {AXIS}="),
        (THREE, {OSCILLATION, CENTRE, AXIS}, ""),
        (SENSOR, {"geometry.detector.panel.material"}, "not corrected; set geometry.detector.panel.thickness="),
        (SENSOR, {"geometry.detector.panel.material", "geometry.detector.panel.thickness"}, ""),
        (EITHER, {"geometry.goniometer.invert_rotation_axis"}, ""),
        ("lambda=1.54178 is there; set geometry.beam.wavelength= if it is right", {"geometry.beam.wavelength"}, ""),
        ("the beam is taken through the middle", {OSCILLATION}, "the beam is taken through the middle"),
    ],
)
def test_advice_that_was_followed_is_left_out(note, given, left):
    assert still_to_do(note, given.__contains__) == left


def picture(folder):
    tifffile.imwrite(folder / "a_001.tif", np.ones((30, 40), "u2"))
    return [folder / "a_001.tif"]


def test_a_note_with_three_remedies_names_those_that_are_left(tmp_path, caplog):
    known = {"geometry.beam.wavelength": 1.0, "geometry.detector.distance": 150.0}
    known["geometry.detector.panel.pixel_size"] = (0.1, 0.1)
    for given, left in (
        ({}, {CENTRE, OSCILLATION}),
        ({OSCILLATION: (0, 1)}, {CENTRE}),
        ({CENTRE: (20, 15)}, {OSCILLATION}),
    ):
        caplog.clear()
        spindle.run("import", files=picture(tmp_path), **known, **given)
        told = "".join(r.getMessage() for r in caplog.records if r.levelname == "WARNING")
        assert {name for name in (CENTRE, OSCILLATION) if f"{name}=" in told} == left


def test_values_of_a_reference_geometry_are_not_asked_for(tmp_path, caplog):
    pixels = np.zeros((3, 4), "i4")
    write_mini_cbf(tmp_path / "good_0001.cbf", pixels, mini_cbf_header(Beam_xy="(2.0, 1.5) pixels"))
    write_mini_cbf(tmp_path / "bad_0001.cbf", pixels, mini_cbf_header(Beam_xy=None))
    write_experiments(spindle.run("import", files=[tmp_path / "good_0001.cbf"]).experiments, tmp_path / "r.expt")
    caplog.clear()
    spindle.run("import", files=[tmp_path / "bad_0001.cbf"], reference_geometry=str(tmp_path / "r.expt"))
    assert not [r.getMessage() for r in caplog.records if CENTRE in r.getMessage()]
