"""Our readings of electron cameras' files against dxtbx on the same files. Skipped without DIALS."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import numpy as np
import pytest

from spindle.contracts.format import FormatOptions
from spindle.images import open_image
from spindle_lib_readers.testing.electrons import write_emi, write_mrc, write_ser

STACK = np.random.default_rng(1).integers(0, 3000, size=(3, 40, 64)).astype(np.int16)
CETA = {
    "ht": 200000.0, "alpha_tilt": -30.0, "tilt_axis_angle": 85.0, "pixel_size_x": 2.0e7, "pixel_size_y": 2.0e7,
    "camera_length": 0.6, "integration_time": 0.5, "binning_width": 64, "binning_height": 64,
    "camera_name": b"BM-Ceta", "tilt_per_image": 0.25,
}  # fmt: skip
FALCON = CETA | {"camera_name": b"BM-Falcon", "binning_width": 1, "binning_height": 1, "ht": 300000.0}
SCRIPT = """
import json, sys
import dxtbx
found = {}
for path in sys.argv[1:]:
    images = dxtbx.load(path)
    n = images.get_num_images() if hasattr(images, "get_num_images") else 1
    panel, beam = images.get_detector()[0], images.get_beam()
    pixels = [images.get_raw_data(i) if n > 1 else images.get_raw_data() for i in range(n)]
    pixels = [(p[0] if isinstance(p, tuple) else p).as_numpy_array() for p in pixels]
    found[path] = dict(
        pixels=[p.astype(int).tolist() for p in pixels], wavelength=beam.get_wavelength(),
        pixel_size=panel.get_pixel_size(), distance=panel.get_distance(), origin=panel.get_origin(),
        fast=panel.get_fast_axis(), slow=panel.get_slow_axis(), trusted=panel.get_trusted_range(),
        gain=panel.get_gain(), axis=images.get_goniometer().get_rotation_axis(),
        oscillation=images.get_scan().get_oscillation(), direction=beam.get_sample_to_source_direction(),
    )
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def readings(tmp_path_factory):
    """Files by name, and what dxtbx says of each."""
    folder = tmp_path_factory.mktemp("electrons")
    search = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/bin", "/usr/bin"])
    python = shutil.which("dials.python", path=search) or shutil.which("cctbx.python", path=search)
    if python is None:
        pytest.skip("neither dials.python nor cctbx.python is installed")
    write_emi(folder / "t.emi")
    files = {
        "ceta": write_mrc(folder / "ceta.mrc", STACK, fei=[CETA] * 3),
        "big endian": write_mrc(folder / "big.mrc", STACK, ">", [CETA] * 3),
        "single": write_mrc(folder / "single_0007.mrc", STACK[0], fei=[FALCON]),
        "plain": write_mrc(folder / "plain.mrc", STACK.astype(np.float32)),
        "unsigned": write_mrc(folder / "unsigned.mrc", STACK.astype(np.uint16)),
        "ser": write_ser(folder / "t.ser", STACK.astype(np.int32), 0x0220),
        "ser 2 bytes": write_ser(folder / "u_1.ser", STACK.astype(np.uint16), 0x0210),
    }
    script = folder / "read.py"
    script.write_text(SCRIPT)
    environment = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH")}
    environment["PATH"] = os.pathsep.join([os.path.dirname(python), "/usr/bin", "/bin"])
    done = subprocess.run(
        [python, script, *files.values()], capture_output=True, text=True, check=False, env=environment, cwd=folder
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    return {name: (path, found[str(path)]) for name, path in files.items()}


@pytest.mark.parametrize("name", ["ceta", "big endian", "single", "plain", "unsigned", "ser", "ser 2 bytes"])
def test_same_pixels_and_camera_as_dials(readings, name):
    path, theirs = readings[name]
    # What the file does not tell is given as dxtbx assumes it.
    options = FormatOptions(wavelength=0.02508, distance=2000.0, pixel_size=tuple(theirs["pixel_size"]))
    reader = open_image(path, options=options)
    assert [reader.read(i)[0].astype(int).tolist() for i in range(reader.n_images)] == theirs["pixels"]
    models = reader.models()
    panel = models.detector[0]
    assert np.allclose(panel.pixel_size, theirs["pixel_size"]) and np.allclose(panel.origin[:2], theirs["origin"][:2])
    assert np.allclose(panel.fast_axis, theirs["fast"]) and np.allclose(panel.slow_axis, theirs["slow"])
    assert np.allclose(models.beam.direction, theirs["direction"])
    assert np.allclose(models.goniometer.rotation_axis, theirs["axis"])
    # dxtbx works with h = 6.626e-34, m = 9.109e-31 and c = 3e8: 1.2e-4 longer waves than with CODATA 2018.
    assert models.beam.wavelength == pytest.approx(theirs["wavelength"], rel=2e-4)


@pytest.mark.parametrize("name", ["ceta", "big endian", "single"])
def test_same_distance_limits_and_rotation_as_dials(readings, name):
    path, theirs = readings[name]
    models = open_image(path).models()
    panel = models.detector[0]
    assert panel.distance == pytest.approx(theirs["distance"], rel=2e-4)  # the wavelength is in it
    assert np.allclose(panel.pixel_size, theirs["pixel_size"])
    assert panel.trusted_range == tuple(theirs["trusted"]) and panel.gain == theirs["gain"]
    assert np.allclose(models.scan.oscillation_deg, theirs["oscillation"])


def test_dials_fills_in_what_is_not_in_the_files(readings):
    for name, width in (("plain", 1.0), ("ser", 0.5)):
        path, theirs = readings[name]
        ours = open_image(path, options=FormatOptions(wavelength=0.02508, distance=2000.0, pixel_size=(0.028, 0.028)))
        assert theirs["oscillation"][1] == width and ours.models().scan.is_still
    # The .emi file says 1.1 m, the calibration 4e7 1/m per pixel of 0.028 mm; dxtbx takes 0.014 mm, for it goes by the
    # number of pixels of the image.
    path, theirs = readings["ser"]
    assert theirs["distance"] == 1100 and theirs["pixel_size"] == [0.014, 0.014]
    panel = open_image(path).models().detector[0]
    assert panel.pixel_size[0] == 0.028 and panel.distance == pytest.approx(279.114, abs=1e-3)
