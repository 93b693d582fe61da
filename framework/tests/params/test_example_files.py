"""The parameter files in examples/ mean what they say."""

from __future__ import annotations

from pathlib import Path

from spindle.execution.runner import effective_params, make_host
from spindle.params import read_parameter_file

FOLDER = Path(__file__).resolve().parents[3] / "examples" / "parameters"


def test_toml_reaches_the_programs_of_the_chain():
    params = effective_params("process", read_parameter_file(FOLDER / "known_crystal.toml"), make_host())
    symmetry = params.index.indexing.known_symmetry
    assert (symmetry.space_group, symmetry.unit_cell[2]) == ("P 43 21 2", 37.1)
    background = params.integrate.integration.background
    assert (background.algorithm, background.simple.outlier.algorithm) == ("simple", "nsigma")
    assert not hasattr(background, "glm")
    assert params.integrate.prediction.d_min == params.scale.cut_data.d_min == 1.8


def test_phil_blocks_are_regions():
    params = effective_params("find_spots", read_parameter_file(FOLDER / "masked_detector.phil"), make_host())
    regions = params.spotfinder.filter.untrusted
    assert [(r.panel, r.rectangle, r.circle) for r in regions] == [
        (0, (0, 240, 300, 340), None),
        (None, None, (240, 310, 20)),
    ]
    assert params.spotfinder.filter.ice_rings.filter
