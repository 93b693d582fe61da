"""Factors of tapes, against the classes that dials.integrate corrects with."""

from __future__ import annotations

import json

import numpy as np
import pytest

from spindle.params import Assignment, build
from spindle.plugins import registry
from spindle.testing.data import make_context
from spindle.testing.dials import dials_python
from spindle.testing.exporter import integrated_data

SCRIPT = """
import json, sys
from dials.array_family import flex
from dxtbx.model.beam import BeamFactory
from dials.algorithms.integration.kapton_correction import KaptonAbsorption, get_absorption_correction
from dials.algorithms.integration.kapton_2019_correction import KaptonTape_2019
given = json.load(open(sys.argv[1]))
s1 = flex.vec3_double([tuple(v) for v in given["s1"]])
beam = BeamFactory.make_beam(sample_to_source=(0, 0, 1), wavelength=given["wavelength"])
shape = [given[k] for k in ("height", "thickness", "half_width", "angle")]
old = KaptonAbsorption(*shape, wavelength_ang=given["wavelength"], beam=beam)
new = KaptonTape_2019(*shape, wavelength_ang=given["wavelength"])
json.dump({"fuller_kapton": list(old.abs_correction_flex(s1)), "kapton_2019": list(new.abs_correction_flex(s1)),
           "mu": 1 / get_absorption_correction()(given["wavelength"])}, open(sys.argv[2], "w"))
"""


@pytest.mark.parametrize("shape", [(0.02, 0.05, 1.5875, 1.15), (0.1, 0.3, 0.8, -12.0)])
def test_factors_of_tapes_are_those_of_dials(tmp_path, shape):
    experiments, table = integrated_data()
    experiment = experiments[0]
    directions = table["s1"] / np.linalg.norm(table["s1"], axis=1)[:, None]
    names = ("height", "thickness", "half_width", "angle")
    given = {"s1": directions.tolist(), "wavelength": 1.0, **dict(zip(names, shape, strict=True))}
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "given.json").write_text(json.dumps(given))
    dials_python("script.py", "given.json", "found.json", cwd=tmp_path)
    expected = json.loads((tmp_path / "found.json").read_text())
    for name in ("fuller_kapton", "kapton_2019"):
        changes = {
            "xtal_height_above_kapton_mm.value": shape[0], "kapton_thickness_mm.value": shape[1],
            "kapton_half_width_mm.value": shape[2], "rotation_angle_deg.value": shape[3], "attenuation": expected["mu"],
            "within_spot_sigmas": False,
        }  # fmt: skip
        params = build(registry().load("absorption", name).Params, [Assignment(k, v, "t") for k, v in changes.items()])
        plugin = make_context().algorithm("absorption", name, params)
        found = plugin.absorption_factors(experiment=experiment, reflections=table, foreground=None).factor
        assert (found > 1).mean() > 0.2
        # 2019: DIALS looks whether a whole number of 5000 steps across the tape is on a face, so that rays that graze an edge differ
        tolerance = 1e-12 if name == "fuller_kapton" else 2e-4
        close = np.isclose(found, expected[name], rtol=tolerance)
        assert close.mean() > (0.9999 if name == "fuller_kapton" else 0.99)
