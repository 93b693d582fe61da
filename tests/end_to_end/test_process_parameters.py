"""Parameters of process itself: short names, presets and parts of names reach the steps."""

from __future__ import annotations

import pytest

from spindle.errors import ParameterError
from spindle.execution.runner import effective_params, make_host
from spindle.params import Assignment, Auto


def of(*words):
    return effective_params("process", [Assignment(*word.split("=", 1)) for word in words], make_host())


def test_short_names_reach_every_step():
    params = of(
        "d_min=1.9",
        "anomalous=False",
        "max_lattices=2",
        "nproc=3",
        "distance=120",
        "probe=electron",
        "index.space_group=P43212",
    )
    assert params.find_spots.spotfinder.filter.d_min == params.integrate.prediction.d_min == 1.9
    assert params.scale.cut_data.d_min == params.merge.d_min == 1.9
    assert (params.scale.anomalous, params.merge.anomalous) == (False, False)
    assert (params.index.indexing.multiple_lattice_search.max_lattices, params.mp.nproc) == (2, 3)
    assert (params.import_.geometry.detector.distance, params.import_.geometry.beam.probe) == (120.0, "electron")
    assert params.index.indexing.known_symmetry.space_group is not None


def test_auto_as_the_resolution_is_for_the_merged_data_alone():
    params = of("d_min=Auto")
    assert params.merge.d_min is Auto and params.find_spots.spotfinder.filter.d_min is None


@pytest.mark.parametrize("words", [["electron=True", "d_max=30"], ["d_max=30", "electron=True"]])
def test_presets_give_way_to_what_the_user_says(words):
    params = of(*words)
    assert params.find_spots.spotfinder.filter.d_max == 30.0
    assert params.import_.geometry.beam.probe == "electron" and params.export == "shelx"
    assert params.scale.physical.absorption_correction is False


def test_a_preset_leaves_out_what_another_choice_has_not():
    params = of("electron=True", "scale.model=KB")
    assert params.export == "shelx" and not hasattr(params.scale, "physical")


def test_a_name_that_several_steps_have_is_still_ambiguous():
    with pytest.raises(ParameterError, match=r"index\.refinement\..*refine\.refinement\."):
        of("detector.fix=all")
