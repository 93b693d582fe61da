"""Prediction of stills, in agreement with what DIALS wrote for five crystals."""

from __future__ import annotations

import numpy as np
import pytest

from spindle.errors import ModelError
from spindle.files import read_experiments, read_reflections
from spindle.models import Experiments
from spindle.prediction import predict, predict_still, predict_stills_for_indexed
from spindle.table import Flag
from spindle.testing import shared_data


@pytest.fixture(scope="module")
def stills():
    folder = shared_data("dials_processed") / "ssx_CuNiR_test_data"
    return read_experiments(folder / "indexed.expt"), read_reflections(folder / "indexed.refl")


def test_positions_and_turns_are_those_of_dials(stills):
    experiments, table = stills
    table = table.select(np.any(table["miller_index"] != 0, axis=1))
    found = predict_stills_for_indexed(experiments, table)
    assert found.has_flags(Flag.PREDICTED).all()
    np.testing.assert_allclose(found["delpsical.rad"], table["delpsical.rad"], atol=1e-14)
    np.testing.assert_allclose(found["xyzcal.mm"], table["xyzcal.mm"], atol=1e-10)
    np.testing.assert_allclose(found["s1"] - table["s1"], 0, atol=2e-3)  # theirs are of the observed spots


def test_the_mosaic_model_has_room_for_the_indexed_spots(stills):
    experiments, table = stills
    for i, experiment in enumerate(experiments):
        predicted = {tuple(h) for h in predict(experiment, i)["miller_index"].tolist()}
        own = table.select((table["id"] == i) & np.any(table["miller_index"] != 0, axis=1))
        seen = [tuple(h) in predicted for h in own["miller_index"].tolist()]
        assert np.mean(seen) >= 0.97


def test_without_crystal_or_with_an_absurd_model_there_is_an_error(stills):
    from dataclasses import replace

    experiment = stills[0][0]
    with pytest.raises(ModelError, match="needs a crystal"):
        predict_still(replace(experiment, crystal=None))
    bad = {**experiment.crystal.extra, "ML_domain_size_ang": -3.0}
    with pytest.raises(ModelError, match="positive numbers"):
        predict_still(replace(experiment, crystal=replace(experiment.crystal, extra=bad)))
    none = predict_stills_for_indexed(Experiments([replace(experiment, crystal=None)]), stills[1].of_experiment(0))
    assert not none.has_flags(Flag.PREDICTED).any()
