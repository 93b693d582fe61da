"""A line of a text header that is one character over and over, as damage makes it, takes time that grows with its length only."""

from __future__ import annotations

import time

import pytest
from spindle_format_cbf.header import parse_mini_header
from spindle_format_mrc.mdoc import read_mdoc
from spindle_format_smv.header import parse_smv
from spindle_format_tiff.header import Description

N = 100_000
MANY = {name: N * name for name in ("\t", " ", "A", "9", "\n", "A ")}


def of_cbf(text, tmp_path):
    lines = (
        "Detector: PILATUS",
        f"Start_angle 1.0{text}x",
        f"A{text} sensor, no",
        f"Beam_xy{text}",
        "Wavelength 2.0 A",
    )
    return parse_mini_header("".join(f"# {line}\n" for line in lines).encode()).numbers["Wavelength"]


def of_smv(text, tmp_path):
    content = f"{{\nHEADER_BYTES={7 * N};\nSIZE1=5;{text};\nWAVELENGTH=2.0;\n}}".encode()
    return parse_smv(content, tmp_path / "a.img").number("WAVELENGTH")


def of_tiff(text, tmp_path):
    found = Description(f"{text} sensor, no\n# Pixel_size 1{text}no\n# Beam_xy {text}no\n# Wavelength 2.0 A\n")
    return found.numbers["Wavelength"]


def of_mdoc(text, tmp_path):
    (tmp_path / "a.mrc.mdoc").write_text(f"{text}\n[ZValue = 0]\nTiltAngle = 2.0\n")
    return read_mdoc(tmp_path / "a.mrc", 1).angles[0]


@pytest.mark.parametrize("fill", MANY, ids=repr)
@pytest.mark.parametrize("read", [of_cbf, of_smv, of_tiff, of_mdoc])
def test_long_runs_take_no_longer_than_they_are(read, fill, tmp_path):
    began = time.process_time()
    assert read(MANY[fill], tmp_path) == 2.0
    assert time.process_time() - began < 1.0
