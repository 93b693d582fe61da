"""`spindle anvil_correction` and `dials.anvil_correction` on the same files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import spindle
from spindle.files import read_reflections, write_experiments, write_reflections
from spindle.models import Experiments, Goniometer
from spindle.testing.dials import dials
from spindle.testing.exporter import integrated_data


@pytest.mark.parametrize("wavelength", [0.4859, 1.0])
def test_corrected_intensities_are_those_of_dials(tmp_path, wavelength):
    experiments, table = integrated_data()
    axes = [[1.0, 0.0, 0.0], [0.9, 0.3, -0.3], [1.0, 0.0, 0.0]]
    kappa = Goniometer.multi_axis(axes, [20.0, -35.0, 0.0], ["phi", "kappa", "omega"], 2)
    beam = replace(experiments[0].beam, wavelength=wavelength)
    experiments = Experiments([replace(experiments[0], goniometer=kappa, beam=beam, identifier="a")])
    table.identifiers = {0: "a"}
    table["s1"] = table["s1"] / wavelength
    table["xyzobs.mm.value"] = table["xyzcal.mm"].copy()
    write_experiments(experiments, tmp_path / "integrated.expt")
    write_reflections(table, tmp_path / "integrated.refl")
    shape = {"anvil.normal": (0.1, 0.2, 1.0), "anvil.thickness": 1.4, "anvil.density": 3400}
    dials(
        "dials.anvil_correction",
        "integrated.expt",
        "integrated.refl",
        "normal=0.1,0.2,1",
        "thickness=1.4",
        "density=3400",
        cwd=tmp_path,
    )
    expected = read_reflections(tmp_path / "corrected.refl")
    result = spindle.run("anvil_correction", experiments, table, **shape)
    factor = result.reflections["anvil_correction"]
    assert not result.summary["n_along_anvils"] and np.ptp(factor) > 0.02
    for kind in ("sum", "prf"):
        for column in ("value", "variance"):
            name = f"intensity.{kind}.{column}"
            # DIALS counts 12398.424 eV angstrom: 1e-7 of the energy, at most 3e-7 of the coefficient
            np.testing.assert_allclose(result.reflections[name], expected[name], rtol=1e-5, err_msg=name)
