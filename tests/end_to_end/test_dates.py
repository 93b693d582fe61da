"""Images that are numbered by dates go through the whole chain as others do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

import spindle
from spindle.contracts import ProgramResult
from spindle.files import read_experiments, read_reflections
from spindle.models import Experiments

FIRST = 2020010101


def test_images_with_dates_for_numbers_give_what_others_give(run_files, tmp_path):
    """Nothing but the number of the image differs: not the positions on the detector, not the intensities."""
    before = read_experiments(run_files / "imported.expt")[0]
    first, last = before.scan.image_range
    for number in range(first, last + 1):
        image = Path(before.imageset.template.replace("####", f"{number:04d}"))
        (tmp_path / f"x_{FIRST + number - first}.cbf").symlink_to(run_files / image)
    result = ProgramResult(
        experiments=Experiments(
            [
                replace(
                    before,
                    scan=replace(before.scan, image_range=(FIRST, FIRST + last - first)),
                    imageset=replace(before.imageset, template=str(tmp_path / "x_##########.cbf")),
                )
            ]
        )
    )
    shift = FIRST - first
    for program in ("find_spots", "index", "refine", "integrate", "symmetry", "scale"):
        result = spindle.run(program, result.experiments, result.reflections)
    expected = read_reflections(run_files / "scaled.refl")
    found = result.reflections
    assert len(found) == len(expected)
    np.testing.assert_array_equal(found["miller_index"], expected["miller_index"])
    np.testing.assert_allclose(found["xyzcal.px"], expected["xyzcal.px"] + [0, 0, shift], rtol=0, atol=1e-3)
    np.testing.assert_allclose(found["intensity.sum.value"], expected["intensity.sum.value"], rtol=1e-3, atol=0.5)
    np.testing.assert_allclose(found["intensity.scale.value"], expected["intensity.scale.value"], rtol=1e-2, atol=2.0)
    assert spindle.run("merge", result.experiments, found).summary["n_unique"] > 0
    path = tmp_path / "x.mtz"
    exported = spindle.run("export", result.experiments, found, mtz__hklout=str(path))
    assert exported.summary["observations"] > 0
