"""NeXus files as dxtbx reads them. Skipped without DIALS."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import h5py
import numpy as np
import pytest

import spindle
from spindle.contracts.format import FormatOptions
from spindle.images import open_image
from spindle_lib_readers.testing.nexus import add_axis, write_nxmx

SEARCH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/bin", "/usr/bin"])

# Run by the Python of DIALS: models, images and mask of every file, as JSON.
READ = """
import json, sys
from dxtbx.format.Registry import get_format_class_for_file

out = []
for name in sys.argv[1:]:
    image = get_format_class_for_file(name).get_instance(name)
    detector, goniometer, scan = image.get_detector(), image.get_goniometer(), image.get_scan()
    matrix = []
    if goniometer is not None:
        matrix = [list(goniometer.get_rotation_axis()), list(goniometer.get_fixed_rotation()),
                  list(goniometer.get_setting_rotation())]
    out.append({
        "n": image.get_num_images(),
        "panels": [
            [list(p.get_fast_axis()), list(p.get_slow_axis()), list(p.get_origin()), list(p.get_pixel_size()),
             list(p.get_image_size()), [p.get_thickness(), p.get_mu()], list(p.get_trusted_range())]
            for p in detector],
        "wavelength": image.get_beam().get_wavelength(),
        "goniometer": matrix,
        "oscillation": list(scan.get_oscillation()) if scan else None,
        "pixels": [list(p.as_1d()) for p in image.get_raw_data(1)],
        "mask": [list(map(bool, m.as_1d())) for m in image.get_static_mask() or ()],
    })
print("JSON" + json.dumps(out))
"""

PIXELS = np.random.default_rng(5).poisson(3.0, size=(4, 61, 97)).astype(np.uint16)


def plain(path):
    return write_nxmx(path, PIXELS)


def kappa(path):
    write_nxmx(path, PIXELS, 30.0 + 0.1 * np.arange(4))
    with h5py.File(path, "r+") as file:
        turns = file["entry/sample/transformations"]
        file["entry/sample/depends_on"][...] = "/entry/sample/transformations/phi"
        add_axis(turns, "phi", 20.0, (-1, 0, 0), "/entry/sample/transformations/kappa", "deg", "rotation")
        tilted = (-np.cos(np.deg2rad(24.0)), 0.0, np.sin(np.deg2rad(24.0)))
        add_axis(turns, "kappa", 75.0, tilted, "/entry/sample/transformations/omega", "deg", "rotation")
    return path


def swung(path):
    write_nxmx(path, PIXELS)
    with h5py.File(path, "r+") as file:
        moves = file["entry/instrument/detector/transformations"]
        moves["det_z"].attrs["depends_on"] = moves.name + "/two_theta"
        add_axis(moves, "two_theta", 25.0, (1, 0, 0), ".", "deg", "rotation")
        moves["det_z"][...] = 0.2
        moves["det_z"].attrs["units"] = "m"
    return path


def modules(path):
    write_nxmx(path, PIXELS)
    with h5py.File(path, "r+") as file:
        detector = file["entry/instrument/detector"]
        del detector["module"]
        for k, (first, n) in enumerate([(0, 30), (33, 28)]):
            module = detector.create_group(f"module{k}")
            module.attrs["NX_class"] = "NXdetector_module"
            module["data_origin"], module["data_size"] = np.array([first, 0]), np.array([n, 97])
            offset = {"offset": np.array([3.0, 2.0 - 0.075 * first, 0.1 * k]), "offset_units": "mm"}
            place = detector.name + "/transformations/det_z"
            chain = module.name + "/module_offset"
            add_axis(module, "module_offset", 0.0, (1, 0, 0), place, "mm", "translation", **offset)
            add_axis(module, "fast_pixel_direction", 0.075, (-1, 0, 0), chain, "mm", "translation")
            add_axis(module, "slow_pixel_direction", 0.075, (0, -1, 0), chain, "mm", "translation")
    return path


CASES = [plain, kappa, swung, modules]


@pytest.fixture(scope="module")
def read_by_dials(tmp_path_factory):
    """What dxtbx says of a file of each case, and the files."""
    folder = tmp_path_factory.mktemp("nexus")
    files = {case.__name__: case(folder / f"{case.__name__}.h5") for case in CASES}
    python = next((p for n in ("python3.11", "python3") if (p := shutil.which(n, path="/usr/bin"))), None)
    if python is None or shutil.which("dials.import", path=SEARCH) is None:
        pytest.skip("DIALS is not installed")
    environment = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH")}
    environment["PATH"] = "/usr/bin:/bin"
    command = [python, "-c", READ, *map(str, files.values())]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if "No module named 'dxtbx'" in done.stderr:
        pytest.skip("dxtbx cannot be imported by the system's Python")
    assert done.returncode == 0, done.stderr[-2000:]
    return files, dict(zip(files, json.loads(done.stdout.partition("JSON")[2]), strict=True))


@pytest.mark.parametrize("case", [c.__name__ for c in CASES])
def test_models_and_pixels_are_those_of_dials(read_by_dials, case):
    files, found = read_by_dials
    theirs = found[case]
    reader = open_image(files[case], options=FormatOptions(multi_panel=True))
    models = reader.models(0)
    assert reader.n_images == theirs["n"]
    assert models.beam.wavelength == pytest.approx(theirs["wavelength"], rel=1e-9)
    assert len(models.detector) == len(theirs["panels"])
    for panel, other in zip(models.detector, theirs["panels"], strict=True):
        # 1e-9 mm: both multiply the same matrices.
        ours = [panel.fast_axis, panel.slow_axis, panel.origin, panel.pixel_size]
        for mine, yours in zip(ours, other[:4], strict=True):
            assert np.allclose(mine, yours, rtol=0, atol=1e-9)
        assert list(panel.image_size) == other[4]
        assert panel.thickness == pytest.approx(other[5][0])
        assert panel.mu == pytest.approx(other[5][1], rel=2e-3)  # both interpolate in the tables of NIST
        # DIALS 3.12 has exclusive limits: -1 is below the first good count.
        assert panel.trusted_range == (other[6][0] + 1, other[6][1])
    if case != "kappa":
        assert np.allclose(models.goniometer.axis_lab, theirs["goniometer"][0], atol=1e-12)
    assert np.allclose(models.goniometer.rotation_axis, theirs["goniometer"][0], atol=1e-12)
    assert np.allclose(models.goniometer.fixed_rotation.ravel(), theirs["goniometer"][1], atol=1e-9)
    assert np.allclose(models.goniometer.setting_rotation.ravel(), theirs["goniometer"][2], atol=1e-9)
    (experiment,) = spindle.run("import", files=[files[case]]).experiments
    assert np.allclose(experiment.scan.oscillation_deg, theirs["oscillation"])
    for pixels, other in zip(reader.read(1), theirs["pixels"], strict=True):
        assert np.array_equal(pixels.ravel(), other)
    for mask, other in zip(reader.mask(), theirs["mask"], strict=True):
        # Ours differs at the pixel whose only bit is bit 31, a property by the NeXus definition.
        assert np.sum(mask.ravel() != np.array(other)) <= 1
