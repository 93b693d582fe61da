"""dxtbx reads from simulated images the geometry that the simulator put there. Skipped without DIALS.

Left out is what DIALS 3.12 does not read: rotation backwards in miniCBF and NeXus files (it refuses negative widths), a
real # in a name, and full CBF files with several panels (it takes them for one, or exchanges their axes).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import spindle
from spindle.testing.simulated import SMALL
from spindle.testing.simulated_sets import INSTRUMENTS

SEARCH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/bin", "/usr/bin"])
NAMES = [
    "cbf", "cbf, from 0", "cbf, one name", "smv", "smv, integrating", "nexus", "nexus, wavelengths", "nexus, kappa",
    "nexus, phi scans", "nexus, fixed chi", "nexus, cylinder", "nexus, arm", "full cbf", "full cbf, kappa",
    "full cbf, phi scans",
]  # fmt: skip

# Run by the Python of DIALS: the models of the sweeps of each set, as JSON.
READ = """
import json, sys
from dxtbx.model.experiment_list import ExperimentListFactory

out = {}
for name, files in json.load(sys.stdin).items():
    out[name] = []
    for e in ExperimentListFactory.from_filenames(files):
        out[name].append({
            "panels": [[list(p.get_fast_axis()), list(p.get_slow_axis()), list(p.get_origin()), list(p.get_image_size())]
                       for p in e.detector],
            "axis": list(e.goniometer.get_rotation_axis()),
            "fixed": list(e.goniometer.get_fixed_rotation()),
            "setting": list(e.goniometer.get_setting_rotation()),
            "oscillation": list(e.scan.get_oscillation()),
            "images": list(e.scan.get_image_range()),
            "wavelength": e.beam.get_wavelength(),
            "counts": sum(float(sum(p.as_1d())) for p in e.imageset.get_raw_data(0)),
        })
print("JSON" + json.dumps(out))
"""


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Truths, and what DIALS reads, by set and sweep."""
    python = next((p for n in ("python3.11", "python3") if (p := shutil.which(n, path="/usr/bin"))), None)
    if python is None or shutil.which("dials.import", path=SEARCH) is None:
        pytest.skip("DIALS is not installed; needed only to compare with it")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
    if subprocess.run([python, "-c", "import dxtbx"], env=environment, capture_output=True, check=False).returncode:
        pytest.skip("dxtbx cannot be imported by the system's Python")
    root = tmp_path_factory.mktemp("simulated")
    files, truths = {}, {}
    for number, name in enumerate(NAMES):
        tiny = {**SMALL, "detector.image_size": (120, 110), "scan.n_images": 2, "structure.d_min": 3.0}
        given = {**tiny, "output.directory": str(root / str(number)), **INSTRUMENTS[name]}
        summary = spindle.run("simulate", **given).summary
        files[name] = [str(Path(p).resolve()) for p in summary["images"]]
        truths[name] = [json.loads((Path(p) / "truth.json").read_text()) for p in summary["truth"]]
    done = subprocess.run(
        [python, "-c", READ],
        input=json.dumps(files),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=root,
    )
    assert "JSON" in done.stdout, done.stderr[-3000:]
    return truths, json.loads(done.stdout.partition("JSON")[2])


@pytest.mark.parametrize("name", NAMES)
def test_dials_reads_the_geometry_that_was_written(sets, name):
    truths, theirs = sets
    assert len(theirs[name]) == len(truths[name])
    for found, models in zip(theirs[name], truths[name], strict=True):
        headers = models["panels"]
        assert [p[3] for p in found["panels"]] == [p["size"] for p in headers]
        for panel, told in zip(found["panels"], headers, strict=True):
            for values, key, error in zip(panel, ("fast", "slow", "origin"), (1e-6, 1e-6, 1e-3), strict=False):
                np.testing.assert_allclose(values, told["header"][key], atol=error, err_msg=key)  # headers give 1 um
        np.testing.assert_allclose(found["axis"], models["rotation_axis"], atol=1e-6)
        for key in ("fixed", "setting"):
            told_rotation = np.ravel(models["goniometer"][f"{key}_rotation"])
            np.testing.assert_allclose(found[key], told_rotation, atol=1e-6, err_msg=key)
        assert (found["oscillation"][0] - models["phi0_deg"] + 180) % 360 - 180 == pytest.approx(0, abs=1e-5)
        assert found["oscillation"][1] == pytest.approx(models["osc_deg"])
        assert found["images"] == [models["first_image"], models["first_image"] + models["nframes"] - 1]
        assert found["wavelength"] == pytest.approx(models["wavelength"])
        assert found["counts"] != 0
